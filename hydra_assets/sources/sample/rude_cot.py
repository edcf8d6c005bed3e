"""COT archives as the CFTC really published them: pure functions from a polite archive to a rude one."""

import csv
import dataclasses
import io
import zipfile

from hydra_assets.sources.cftc_file import CODE, POSITION_COLUMNS, REPORT_DATES, TRADER_COLUMNS
from hydra_assets.sources.sample.cot import Archive
from hydra_assets.sources.sample.rude import Rudeness

OATS = "004603"
ABSENT_SINCE, ABSENT_UNTIL_MONTH = 2025, 8  # in 2025 the first of 16 reports was that of 9 September
OTHER_CODE, OTHER_NAME = "083731", "CAF\xc9 C - SYNTHETIC"
HISTORY_MEMBER = "F_DisAgg06_16.txt"
NOT_THERE = b"<!DOCTYPE html>\n<html><head><title>Page not found | CFTC</title></head><body>Page not found</body></html>\n"


def rude_archive(archive: Archive, rude: Rudeness) -> Archive:
    """*archive* with the behaviours of *rude*; itself where none touches it."""
    if not (rude.absent_market or rude.bad_byte or rude.combined_rows or rude.member_case):
        return archive
    with zipfile.ZipFile(io.BytesIO(archive.body)) as opened:
        (info,) = opened.infolist()
        header, *rows = csv.reader(io.StringIO(opened.read(info).decode("utf-8"), newline=""))
    at = {name: i for i, name in enumerate(header)}
    if rude.absent_market:
        rows = [row for row in rows if not _absent(row, at)]
    if rude.combined_rows:
        rows = [part for row in rows for part in (row, _combined(row, at))]
    if rude.bad_byte:
        rows += [_other(row, at) for row in rows if row[at[CODE]] == rows[-1][at[CODE]]]
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows([header, *rows])
    if rude.member_case and info.filename.lower() == HISTORY_MEMBER.lower():
        info.filename = HISTORY_MEMBER
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made:
        made.writestr(zipfile.ZipInfo(info.filename, info.date_time), text.getvalue().encode("cp1252"), zipfile.ZIP_DEFLATED)
    return dataclasses.replace(archive, body=packed.getvalue())


def _absent(row: list[str], at: dict[str, int]) -> bool:
    year, month, _ = row[at[REPORT_DATES[0]]].strip().split("-")
    return row[at[CODE]] == OATS and int(year) >= ABSENT_SINCE and int(month) <= ABSENT_UNTIL_MONTH


def _combined(row: list[str], at: dict[str, int]) -> list[str]:
    """The report with options in it: twice the positions, which still add up."""
    made = list(row)
    for column in (*POSITION_COLUMNS.values(), *TRADER_COLUMNS.values()):
        if made[at[column]].strip().isdigit():
            made[at[column]] = str(int(made[at[column]]) * 2)
    made[at["FutOnly_or_Combined"]] = "Combined"
    return made


def _other(row: list[str], at: dict[str, int]) -> list[str]:
    made = list(row)
    made[at[CODE]], made[at["Market_and_Exchange_Names"]] = OTHER_CODE, OTHER_NAME
    return made
