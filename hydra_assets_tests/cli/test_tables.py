"""Tables of the commands: whole in a file, and on a narrow terminal whole in the columns that are kept, with the others named."""

import io

import pytest

from hydra_assets.cli import tables
from hydra_assets.cli.console import WideConsole

HEADINGS = ("table", "months", "rows", "available at")
ROWS = [("futures_statistics", "2025-01..2025-12", "123,456,789", "2025-10-20 11:46:07Z")]


def shown(monkeypatch, **terminal):
    file = io.StringIO()
    monkeypatch.setattr(tables, "console", WideConsole(file=file, **terminal))
    tables.show_table("title", HEADINGS, ROWS, left=["table"], least=["months", "rows"])
    return file.getvalue()


@pytest.mark.parametrize("columns", ["", "20"])
def test_no_cell_is_cut_where_the_output_is_no_terminal(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    text = shown(monkeypatch)
    assert all(cell in text for cell in (*HEADINGS, *ROWS[0]))
    assert "No room" not in text


@pytest.mark.parametrize(("width", "dropped"), [(80, ""), (77, "months"), (60, "months"), (50, "months, rows")])
def test_a_narrow_terminal_is_spared_the_least_important_columns_and_says_so(monkeypatch, width, dropped):
    text = shown(monkeypatch, force_terminal=True, width=width, color_system=None)
    kept = [place for place, heading in enumerate(HEADINGS) if heading not in dropped.split(", ")]
    assert all(ROWS[0][place] in text for place in kept)
    assert "…" not in text
    assert (f"No room for: {dropped}." in text) == bool(dropped)


def test_a_line_in_a_file_is_as_long_as_it_is_unless_columns_asks_for_a_width(monkeypatch):
    for columns, lines in (("", 1), ("80", 3)):
        monkeypatch.setenv("COLUMNS", columns)
        file = io.StringIO()
        WideConsole(file=file).print("word " * 40)
        assert len(file.getvalue().splitlines()) == lines


def test_a_terminal_too_narrow_for_what_is_kept_folds_it(monkeypatch):
    text = shown(monkeypatch, force_terminal=True, width=30, color_system=None)
    assert "…" not in text
    joined = "".join(line.split("│")[2].strip() for line in text.splitlines() if line.startswith("│"))
    assert joined.replace(" ", "") == ROWS[0][3].replace(" ", "")
