"""From a vendor to the lake and the ledger."""

from hydra_assets.errors import ConfigError
from hydra_assets.flow.batch import Batch
from hydra_assets.sources.ledger import Ledger
from hydra_assets.storage.lake import ParquetLake


def keep(batch: Batch, lake: ParquetLake, ledger: Ledger | None = None) -> int:
    """
    Append *batch*, then note its captured days in *ledger*; the number of new rows.

    The lake comes first: after a crash between the two the days are fetched again and found to be held.

    Raises:
        ConfigError: the batch has captured days and there is no ledger; nothing was written.
    """
    captured = batch.captured
    if captured is not None and ledger is None:
        raise ConfigError(f"{batch.table.name} {batch.market} {batch.month} has captured days, and no ledger was given to note them in")
    added = batch.append(lake)
    if captured is not None and ledger is not None:
        ledger.capture(batch.table.name, batch.market, list(captured.days.items()), captured.seen_at)
    return added
