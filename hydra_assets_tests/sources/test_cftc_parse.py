"""A strict reading of the CFTC's file: nothing guessed, nothing silently lost."""

import datetime as dt
from collections import Counter

import pytest

from hydra_assets.config.load import load_config
from hydra_assets.core.tables.cot import COT_DISAGGREGATED
from hydra_assets.errors import VendorContentError
from hydra_assets.sources.cftc_parse import parse_cot, reports_of
from hydra_assets_tests.conftest import at
from hydra_assets_tests.support.cftc_files import CALENDAR, HE, LE, OATS, archive, bent, text_of, zipped


def parse(body, codes=(HE,), year=2025):
    return parse_cot(body, codes, years=range(year, year + 1), calendar=CALENDAR, place="CFTC 2025")


def he_rows(header, rows):
    return [row for row in rows if row[header.index("CFTC_Contract_Market_Code")] == HE]


def setting(column, value, nth=0):
    """A change of one cell of the nth lean-hogs row."""

    def change(header, rows):
        he_rows(header, rows)[nth][header.index(column)] = value

    return bent(change)


def test_the_real_file_of_2025_gives_its_52_lean_hogs_rows(real_2025):
    parsed = parse(real_2025.read_bytes())
    assert (parsed.table.num_rows, parsed.rows_read, parsed.duplicates, parsed.quarantined, parsed.extra_columns) == (52, 13_630, 0, [], ())
    assert parsed.table.schema == COT_DISAGGREGATED.schema
    rows = {row["as_of"].date().isoformat(): row for row in parsed.table.to_pylist()}
    assert "2025-11-10" in rows
    last = rows["2025-12-30"]
    # Read off the file by eye.
    positions = [last[name] for name in ("open_interest", "prod_long", "prod_short", "swap_long", "swap_short")]
    assert positions == [295500, 26808, 123034, 69567, 7272]
    assert (last["swap_spread"], last["mm_long"], last["mm_short"], last["mm_spread"]) == (4779, 90681, 14374, 43587)
    assert (last["net_top4_long"], last["net_top4_short"], last["traders_total"], last["traders_mm_short"]) == (15.5, 17.4, 309, 24)
    assert (last["available_at"], last["synthetic"]) == (at("2026-01-05 20:30"), False)


def test_the_shipped_real_rows_are_the_files_rows(real_2025):
    assert parse(archive()).table.equals(parse(real_2025.read_bytes()).table)


def test_every_market_of_the_real_file_adds_up_and_every_date_is_the_calendars(real_2025):
    body = real_2025.read_bytes()
    assert set(reports_of(body, ["054642"], place="x")) == set(CALENDAR.report_dates(dt.date(2025, 1, 1), dt.date(2025, 12, 31)))
    codes = [market.cftc_code for market in load_config().markets.values()]
    parsed = parse(body, codes)
    rows = Counter(parsed.table["cftc_code"].to_pylist())
    assert rows == dict.fromkeys(codes, 52) | {OATS: 16}
    assert parsed.quarantined == []


def test_real_and_synthetic_rows_are_told_apart():
    table = parse(archive(), (HE, LE)).table
    marks = {(row["cftc_code"], row["synthetic"]) for row in table.to_pylist()}
    assert marks == {(HE, False), (LE, True)}


def test_missing_renamed_and_doubled_columns_are_errors_that_list_the_differences():
    def renamed(header, rows):
        header[header.index("M_Money_Positions_Long_All")] = "MM_Long"

    with pytest.raises(VendorContentError, match=r"missing columns \['M_Money_Positions_Long_All'\].*MM_Long"):
        parse(bent(renamed))

    def doubled(header, rows):
        header[header.index("Open_Interest_Old")] = "Open_Interest_All"

    with pytest.raises(VendorContentError, match=r"duplicate columns \['Open_Interest_All'\]"):
        parse(bent(doubled))


def test_extra_and_reordered_columns_are_accepted_by_name():
    def moved(header, rows):
        return ["Brand_New", *header[::-1]], [["1", *row[::-1]] for row in rows]

    parsed = parse(bent(moved))
    assert parsed.extra_columns == ("Brand_New",)
    assert parsed.table.equals(parse(archive()).table)


def test_a_code_without_its_leading_zero_is_the_same_code():
    def shortened(header, rows):
        for row in rows:
            i = header.index("CFTC_Contract_Market_Code")
            row[i] = row[i].lstrip("0")

    assert parse(bent(shortened)).table.num_rows == 52


def test_a_dot_is_null_where_the_cftc_suppresses_and_quarantines_in_a_position():
    assert parse(setting("Traders_M_Money_Short_All", ".,"[:1])).table["traders_mm_short"].null_count == 1
    parsed = parse(setting("M_Money_Positions_Long_All", "."))
    assert parsed.table.num_rows == 51
    (bad,) = parsed.quarantined
    assert (bad.cftc_code, bad.report_date) == (HE, "2025-12-30")
    assert "M_Money_Positions_Long_All is '.'" in bad.reason


@pytest.mark.parametrize("text", ["", "abc", "-5", "1.5", "1e3"])
def test_what_is_no_number_of_contracts_quarantines_its_row_and_is_never_zero(text):
    parsed = parse(setting("Open_Interest_All", text))
    assert (parsed.table.num_rows, len(parsed.quarantined)) == (51, 1)


def test_a_row_that_does_not_add_up_is_quarantined():
    parsed = parse(setting("NonRept_Positions_Long_All", "999999"))
    assert parsed.table.num_rows == 51
    assert "open interest is 295,500" in parsed.quarantined[0].reason


def test_dates_that_disagree_or_cannot_be_read_quarantine_the_row():
    for column, text in (("As_of_Date_In_Form_YYMMDD", "251229"), ("Report_Date_as_YYYY-MM-DD", "30 December")):
        parsed = parse(setting(column, text))
        assert (parsed.table.num_rows, len(parsed.quarantined)) == (51, 1)
        assert parsed.quarantined[0].reason == "the report date is not a date"


def test_the_older_archives_date_column_is_read():
    def dated(header, rows):
        i = header.index("Report_Date_as_YYYY-MM-DD")
        header[i] = "Report_Date_as_MM_DD_YYYY"
        for row in rows:
            row[i] = f"{dt.date.fromisoformat(row[i]):%m/%d/%Y}"

    assert parse(bent(dated)).table.equals(parse(archive()).table)


def test_rows_of_another_year_are_refused():
    with pytest.raises(VendorContentError, match=r"report of 2025-\d\d-\d\d; the archive is of 2024"):
        parse(archive(2025), year=2024)


def test_exact_repetitions_are_dropped_and_counted_and_contradictions_refused():
    def twice(header, rows):
        rows.append(list(he_rows(header, rows)[3]))

    parsed = parse(bent(twice))
    assert (parsed.table.num_rows, parsed.duplicates) == (52, 1)

    def contradicting(header, rows):
        other = list(he_rows(header, rows)[3])
        other[header.index("Traders_Tot_All")] = "7"
        rows.append(other)

    with pytest.raises(VendorContentError, match="something else about 054642"):
        parse(bent(contradicting))


def test_a_cut_last_line_and_a_narrow_row_are_errors():
    text = text_of(archive())
    with pytest.raises(VendorContentError, match="cut off"):
        parse(zipped(text[:-50]))
    with pytest.raises(VendorContentError, match=r"line \d+ has \d+ columns"):
        parse(zipped(text[: text.rindex(",")] + "\r\n"))


def test_a_market_without_a_row_is_unpublished_where_the_file_holds_a_known_one_and_an_error_where_it_holds_none():
    parsed = parse(archive(), (HE, "111111"))
    assert (parsed.table.num_rows, parsed.unpublished[HE]) == (52, ())
    assert parsed.unpublished["111111"] == tuple(CALENDAR.report_dates(dt.date(2025, 1, 1), dt.date(2025, 12, 31)))
    header_only = text_of(archive()).splitlines()[0] + "\r\n"
    with pytest.raises(VendorContentError, match="0 rows for 054642 and for any market known"):
        parse(zipped(header_only))

    def renumbered(header, rows):
        for row in rows:
            row[header.index("CFTC_Contract_Market_Code")] = "999999"

    with pytest.raises(VendorContentError, match="0 rows for 054642 and for any market known"):
        parse(bent(renumbered))
    known = parse_cot(bent(renumbered), [HE], years=range(2025, 2026), calendar=CALENDAR, place="x", known=["999999"])
    assert (known.table.num_rows, len(known.unpublished[HE])) == (0, 52)


def test_the_real_oats_of_2025_are_unpublished_until_september_and_at_the_years_end(real_2025):
    parsed = parse(real_2025.read_bytes(), (OATS, HE))
    held = {row["as_of"].date() for row in parsed.table.to_pylist() if row["cftc_code"] == OATS}
    assert (len(held), min(held), max(held)) == (16, dt.date(2025, 9, 9), dt.date(2025, 12, 23))
    assert (parsed.unpublished[HE], parsed.quarantined, parsed.unreadable) == ((), [], 0)
    every = CALENDAR.report_dates(dt.date(2025, 1, 1), dt.date(2025, 12, 31))
    assert parsed.unpublished[OATS] == tuple(day for day in every if day not in held)
    assert len(parsed.unpublished[OATS]) == 36


def test_a_report_is_called_unpublished_only_where_every_line_of_it_was_read():
    absent, code = dt.date(2025, 12, 30), "CFTC_Contract_Market_Code"

    def without(damage):
        def change(header, rows):
            at = header.index(code)
            rows = [row for row in rows if (row[at], row[header.index("As_of_Date_In_Form_YYMMDD")]) != (HE, "251230")]
            newest_other = next(row for row in rows if row[at] == LE)
            damage(header, newest_other)
            return header, rows

        return parse(bent(change))

    assert without(lambda header, row: None).unpublished[HE] == (absent,)
    for damage in (lambda header, row: row.insert(0, "A"), lambda header, row: row.__setitem__(header.index(code), "05764\xc9")):
        parsed = without(damage)
        assert (parsed.table.num_rows, parsed.unreadable, parsed.unpublished[HE]) == (51, 1, ())
    for column, text in (("Open_Interest_All", "?"), ("As_of_Date_In_Form_YYMMDD", "251229")):
        parsed = parse(setting(column, text))
        assert (len(parsed.quarantined), parsed.unpublished[HE]) == (1, ())


def raw_lines(change, *, of=LE, every=False):
    """The archive after a change of the bytes of a market's newest line, or of each one."""
    lines, done = text_of(archive()).encode().split(b"\r\n"), False
    for i, line in enumerate(lines):
        if f",{of},".encode() in line and (every or not done):
            lines[i], done = change(line), True
    return zipped(b"\r\n".join(lines))


@pytest.mark.parametrize("byte", [b"\xc9", b"\x81", b"\x00", b",", b'"', b"\r", b"\xe2\x80"])
@pytest.mark.parametrize("place", [0, 4])
def test_a_bad_byte_in_the_name_of_another_market_costs_no_row_of_ours(byte, place):
    good = parse(archive())
    for every in (False, True):
        parsed = parse(raw_lines(lambda line: line[:place] + byte + line[place + 1 :], every=every))
        assert parsed.table.equals(good.table)
        assert parsed.quarantined == []


def test_a_line_end_within_a_cell_is_a_part_of_it():
    parsed = parse(raw_lines(lambda line: b'"LEAN\rHOGS, FUTURES"' + line[line.index(b",25") :].replace(b"CME ", b"CME\r"), of=HE))
    assert parsed.table.equals(parse(archive()).table)
    assert parsed.quarantined == []


def test_a_cell_larger_than_a_reader_of_tables_takes_costs_its_own_line():
    def swollen(line):
        return b"L" * 200_000 + line[line.index(b",25") :]

    assert parse(raw_lines(swollen)).table.equals(parse(archive()).table)
    parsed = parse(raw_lines(swollen, of=HE))
    assert (parsed.table.num_rows, len(parsed.quarantined)) == (51, 1)


def test_a_bad_byte_in_a_row_of_ours_quarantines_it_alone_where_it_is_read():
    good = parse(archive())
    assert parse(raw_lines(lambda line: b"\xc9" + line[1:], of=HE)).table.equals(good.table)  # the name is not read
    for byte in (b"\xb2", b"\xff", b",", b"_", b"e", b"-", b" "):
        parsed = parse(raw_lines(lambda line, byte=byte: line.replace(b"295500", b"29" + byte + b"500", 1), of=HE))
        assert (parsed.table.num_rows, len(parsed.quarantined), parsed.unpublished[HE]) == (51, 1, ()), byte


@pytest.mark.parametrize("text", ["nan", "inf", "1_0", "\xb2", "1e3", "9" * 30, "0x1"])
def test_what_python_takes_for_a_number_and_the_cftc_does_not_write_quarantines_its_row(text):
    for column in ("Traders_Tot_All", "Conc_Net_LE_4_TDR_Long_All", "Open_Interest_All"):
        if column.startswith("Conc") and text.isdigit() and text.isascii():
            continue
        parsed = parse(setting(column, text))
        assert (parsed.table.num_rows, len(parsed.quarantined)) == (51, 1)
        assert column in parsed.quarantined[0].reason


def combined(header, rows, *, alone=False):
    at, made = header.index("FutOnly_or_Combined"), []
    for row in rows:
        other = list(row)
        other[at], other[header.index("Open_Interest_All")] = "Combined", "1"
        made += [other] if alone else [row, other]
    return header, made


def test_rows_of_futures_and_options_combined_are_left_out_and_a_file_of_nothing_else_is_refused():
    parsed = parse(bent(combined))
    assert (parsed.table.equals(parse(archive()).table), parsed.combined, parsed.duplicates) == (True, 104, 0)
    with pytest.raises(VendorContentError, match="all 104 rows are of futures and options combined"):
        parse(bent(lambda header, rows: combined(header, rows, alone=True)))
    odd = parse(setting("FutOnly_or_Combined", "?"))
    assert (odd.table.num_rows, "FutOnly_or_Combined is '?'" in odd.quarantined[0].reason) == (51, True)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252"])
def test_byte_order_marks_line_ends_and_latin_letters_are_accepted(encoding):
    text = text_of(archive()).replace("LEAN HOGS", "LEAN HOGS É").replace("\r\n", "\n")
    assert parse(zipped(text.encode(encoding))).table.num_rows == 52
