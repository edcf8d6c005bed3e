"""Descriptions of the tables in the UI: owner, origin, columns, freshness, and how to read them."""

from collections.abc import Sequence

import dagster as dg

from hydra_assets.core.feature import Feature
from hydra_assets.core.tables.registry import FEATURE_TABLES, TABLES
from hydra_assets.core.tables.table import Table
from hydra_assets.defs.columns import column_schema
from hydra_assets.defs.freshness import policy_of
from hydra_assets.features import of_family

OWNERS = ["team:desk"]
_STAMPS = {
    "vendor": "the vendor's own instant of each print",
    "ours": "the end of the bar, the cut, or the release calendar; a later change counts from the moment it was seen",
    "derived": "the latest of the inputs that the row was made of",
}
_STEP = {
    "raw": "**Raw**: the source's rows, never altered. Fetches only days that are not held.",
    "derived": "**Derived**: computed from the raw tables.",
    "features": "**Features**: computed from the tables upstream, published to the store and kept in the lake. To make one month:"
    " *Jobs*, `market_refresh` or `cot_refresh`, *Materialize all*. To make several: *Lineage*, select the tables, *Materialize selected*."
    " Then open the month under *Partitions*: the numbers stand in a table, their picture is behind [Show Markdown]."
    " *Checks* re-read what was written: `no_lookahead` and `replay` prove it,"
    " `open_findings` is red while anything is open in any market and month.",
}


def documented(spec: dg.AssetSpec, *, world: str, home: str) -> dg.AssetSpec:
    """The asset's specification as people see it."""
    table = TABLES[spec.key.path[-1]]
    return spec.merge_attributes(
        metadata={
            "world": dg.MetadataValue.text(world),
            "home": dg.MetadataValue.path(home),
            "dagster/column_schema": column_schema(table),
            "dagster/table_name": table.name,
            "desk_page": dg.MetadataValue.md("[every market as known at an instant](/desk)"),
            **_features(table),
        },
        owners=OWNERS,
        tags={"world": world, "stamps": table.stamps, "cadence": table.cadence, **{f"feature/{f.name}": "" for f in _features_of(table)}},
        kinds=_kinds(table, world),
    ).replace_attributes(description=_description(table, spec.description), freshness_policy=policy_of(table))


def _features_of(table: Table) -> Sequence[Feature]:
    """The features that *table* holds; none for a table of another group."""
    return next((of_family(family) for family, holder in FEATURE_TABLES.items() if holder is table), ())


def _features(table: Table) -> dict[str, dg.MetadataValue]:
    """The features of a table with unit, windows, formula and source; the tags let a search for a name find the table."""
    features = _features_of(table)
    if not features:
        return {}
    records = [
        dg.TableRecord(
            {
                "feature": feature.name,
                "unit": feature.unit,
                "formula": feature.formula,
                "windows": ", ".join(dict.fromkeys(f"{w.dataset} {w.first}..{w.last} {w.unit}" for w in feature.windows)),
                "source": feature.source,
                "available": feature.availability,
            }
        )
        for feature in features
    ]
    return {"features": dg.MetadataValue.table(records)}


def _kinds(table: Table, world: str) -> set[str]:
    """Kinds shown on the asset's box; Dagster shows three at most."""
    if table.group != "raw":
        return set()
    return {"sample vendor" if world == "sample" else table.source}


def _description(table: Table, own: str | None) -> str:
    key = ", ".join(f"`{name}`" for name in (*table.key, "as_of"))
    return "\n\n".join(
        [
            own or table.description,
            _STEP[table.group],
            f"One row per {key} and `available_at`, which is {_STAMPS[table.stamps]}.",
            f"Read it: `hydra_assets.open().lake.read_known('{table.name}', 'HE', known_at)`.",
        ]
    )
