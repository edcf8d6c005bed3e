"""The embedded vendor as the settings want it: polite, or with behaviours of the real ones."""

import dataclasses
from pathlib import Path

from hydra_assets.config.load import Config, load_release_calendar
from hydra_assets.sources.sample.rude import Rudeness
from hydra_assets.sources.sample.side import Served


def served(config: Config, *, cache: Path | None = None) -> Served:
    """
    The configured markets, with the behaviours that the settings' block `sample` names.

    Args:
        config: the settings.
        cache: folder for encoded months.

    Raises:
        ConfigError: a behaviour is unknown.
    """
    sizes = dataclasses.asdict(config.sample)
    return Served(config.markets, load_release_calendar(), cache, rude=Rudeness.of(sizes.pop("rude"), **sizes))
