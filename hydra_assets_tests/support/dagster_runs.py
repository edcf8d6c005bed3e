"""Real Dagster in process: the definitions of a home, run over a range of one market."""

import dagster as dg

from hydra_assets.config.home import resolve_home
from hydra_assets.core.months import Month
from hydra_assets.definitions import definitions_for
from hydra_assets.defs.partitions import key_of


def resources(**replaced):
    """The resources of this test's home, some replaced."""
    return {**definitions_for(resolve_home("sample")).resources, **replaced}


def definitions() -> dg.Definitions:
    return definitions_for(resolve_home("sample"))


COT = ("cot_disaggregated", "cot_features")
FUTURES = ("futures_definitions", "futures_bars", "futures_statistics", "futures_continuous", "futures_features")
RAW_OPTIONS = ("option_definitions", "option_quotes", "option_statistics")
OPTIONS = (*RAW_OPTIONS, "option_chain", "option_smiles", "option_features", "divergence_features")


def run(market="HE", first="2025-09", last="2025-10", *, instance=None, raise_on_error=True, only=COT, tags=None, config=None, **replaced):
    """Materialise a range of one market through the definitions' own job."""
    built = definitions_for(resolve_home("sample"))
    if replaced:
        built = dg.Definitions.merge(dg.Definitions(resources={}), _with(built, replaced))
    job = built.resolve_implicit_global_asset_job_def()
    keys = [str(key_of(market, Month.of(month))) for month in (first, last)]
    range_tags = {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[1]}
    with instance or dg.DagsterInstance.ephemeral() as used:
        return job.execute_in_process(
            instance=used,
            tags=range_tags if tags is None else tags,
            raise_on_error=raise_on_error,
            asset_selection=[dg.AssetKey(name) for name in only],
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}, **(config or {})},
        )


def _with(built: dg.Definitions, replaced) -> dg.Definitions:
    return dg.Definitions(
        assets=built.assets,
        asset_checks=built.asset_checks,
        jobs=built.jobs,
        executor=built.executor,
        resources={**built.resources, **replaced},
    )


def checks_of(tables):
    """(asset, check) of every check that these tables have, but for those skipped where nothing was served."""
    specs = [spec for check in definitions().asset_checks for spec in check.check_specs]
    return {(spec.asset_key.path[-1], spec.name) for spec in specs if spec.asset_key.path[-1] in tables and spec.name != "served"}


def verdicts(result):
    """(asset, check) to verdict."""
    return {(e.asset_key.path[-1], e.check_name): e.metadata["verdict"].value for e in result.get_asset_check_evaluations()}


def materializations(result, asset):
    """Partition key to metadata."""
    events = [e.step_materialization_data.materialization for e in result.get_asset_materialization_events()]
    return {str(m.partition): {k: v.value for k, v in m.metadata.items()} for m in events if m.asset_key.path[-1] == asset}
