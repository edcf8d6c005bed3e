"""Plots: numbers beside a figure, of what is known alone, and none where there is nothing to draw."""

import datetime as dt

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from hydra_assets.features.options.chain import build_chain
from hydra_assets.features.options.smiles import build_smiles
from hydra_assets.plots.cot import positioning
from hydra_assets.plots.futures import term_structure
from hydra_assets.plots.options import newest_fits, smiles, volatility
from hydra_assets.plots.plot import synthetic_note
from hydra_assets_tests.conftest import at
from hydra_assets_tests.support.cot_history import weeks
from hydra_assets_tests.support.futures_history import history
from hydra_assets_tests.support.option_history import History


def titles(plot):
    return [axes.get_title() for axes in plot.figure.axes]


def test_positions_of_the_newest_reports_stand_beside_their_curves():
    reports = weeks(2024, 2024)
    plot = positioning("LE", reports)
    assert plot.name == "positioning"
    assert [row["report"] for row in plot.rows][-1] == str(pc.max(reports["as_of"]).as_py().date())
    assert len(plot.rows) == 6
    assert list(plot.rows[0]) == list(plot.kinds) == ["report", "mm net", "prod net", "swap net"]
    newest = reports.sort_by("as_of").to_pylist()[-1]
    assert plot.rows[-1]["mm net"] == newest["mm_long"] - newest["mm_short"]
    assert titles(plot) == ["LE: net positions by the instant at which they became known (synthetic)"]


def test_the_curve_is_of_the_newest_day_by_expiration():
    plot = term_structure("HE", history(dt.date(2025, 11, 3), dt.date(2025, 11, 7))["futures_statistics"])
    assert titles(plot) == ["HE: term structure of 2025-11-07 (synthetic)"]
    assert [row["last trade"] for row in plot.rows] == sorted(row["last trade"] for row in plot.rows)
    assert len(plot.rows) > 5
    assert all(row["settlement"] > 0 for row in plot.rows)


def test_the_curve_is_of_what_stands_as_settlement_whether_or_not_a_flag_says_so():
    known = history(dt.date(2025, 11, 3), dt.date(2025, 11, 7))["futures_statistics"]
    column = known.column_names.index("is_final")

    def flagged(word):
        return known.set_column(column, known.schema.field(column), pa.array([word] * known.num_rows, pa.bool_()))

    assert titles(term_structure("HE", flagged(None))) == ["HE: term structure of 2025-11-07 (synthetic)"]
    friday, monday = at("2025-11-10 17:59"), at("2025-11-10 18:00")  # noon in Chicago
    assert titles(term_structure("HE", flagged(False), known_at=friday)) == ["HE: term structure of 2025-11-06 (synthetic)"]
    assert titles(term_structure("HE", flagged(False), known_at=monday)) == ["HE: term structure of 2025-11-07 (synthetic)"]


def test_smiles_are_of_the_newest_day_with_a_fit():
    chain = build_chain(History(dt.date(2025, 11, 3), 2).tables())
    fits = newest_fits(build_smiles(chain))
    assert pc.unique(fits["as_of"]).to_pylist() == [at("2025-11-04")]
    plot = smiles("HE", fits, chain.filter(pc.equal(chain["as_of"], at("2025-11-04"))))
    assert [title.split(" of ")[0] for title in titles(plot)] == ["HE smiles", "risk-neutral densities; bars at the foot: quoted strikes"]
    assert set(plot.rows[0]) == set(plot.kinds)
    assert [row["future"] for row in plot.rows] == fits["underlying"].to_pylist()


def test_volatilities_are_percent_and_a_day_without_one_is_empty():
    rows = [
        {"feature_name": name, "as_of": at(f"2025-11-0{day}"), "value": value}
        for day, name, value in ((3, "opt_atm_iv_30", 0.25), (4, "opt_atm_iv_60", 0.3), (4, "opt_skew", 9.0))
    ]
    plot = volatility("HE", pa.Table.from_pylist(rows), note=" (synthetic)")
    assert [(row["day"], row["opt_atm_iv_30"], row["opt_atm_iv_60"]) for row in plot.rows] == [
        ("2025-11-03", 25.0, None),
        ("2025-11-04", None, 30.0),
    ]
    assert titles(plot) == ["HE: volatility at the forward (synthetic)"]


@pytest.mark.parametrize("plot", [positioning, term_structure, volatility])
def test_nothing_known_is_nothing_drawn(plot):
    assert plot("HE", pa.table({})) is None
    assert smiles("HE", newest_fits(pa.table({})), pa.table({})) is None


def test_a_title_says_how_much_of_it_is_synthetic():
    real, made = {"synthetic": False}, {"synthetic": True}
    assert [synthetic_note(rows) for rows in ([real], [made, made], [real, made])] == ["", " (synthetic)", " (1 of 2 synthetic)"]
