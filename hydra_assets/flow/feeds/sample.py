"""The embedded vendor as the settings want it: polite, or with behaviours of the real ones."""

from hydra_assets.config.load import Config
from hydra_assets.sources.sample.rude import Rudeness


def rudeness(config: Config) -> Rudeness:
    """
    The behaviours that the settings' block `sample` names.

    Raises:
        ConfigError: a behaviour is unknown.
    """
    asked = config.sample
    return Rudeness.of(
        asked.rude,
        max_days=asked.max_days,
        max_bytes=asked.max_bytes,
        bytes_per_s=asked.bytes_per_s,
        first_byte_s=asked.first_byte_s,
        busy_polls=asked.busy_polls,
    )
