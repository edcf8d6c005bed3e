"""The embedded vendor as the settings want it: polite, or with behaviours of the real ones."""

from hydra_assets.config.load import Config
from hydra_assets.sources.sample.rude import Rudeness


def rudeness(config: Config) -> Rudeness:
    """
    The behaviours that the settings' block `sample` names.

    Raises:
        ConfigError: a behaviour is unknown.
    """
    settings = config.sample
    return Rudeness.of(
        settings.rude,
        max_days=settings.max_days,
        max_bytes=settings.max_bytes,
        bytes_per_s=settings.bytes_per_s,
        first_byte_s=settings.first_byte_s,
        busy_polls=settings.busy_polls,
    )
