"""`hydra-assets sample-vendor`: serve the embedded vendor, to explore it or point other tools at it."""

import dataclasses
from typing import Annotated

import typer

from hydra_assets.cli.console import console
from hydra_assets.config.home import resolve_home
from hydra_assets.errors import ConfigError
from hydra_assets.sources.sample.rude import ALL, POLITE, Rudeness, behaviours

_BEHAVIOURS = "\n".join(f"- {name}: {message}" for name, message in behaviours().items())
HELP = f"""
Serve the embedded sample vendor on loopback until Ctrl-C (synthetic, but for the lean-hogs rows of 2025).

With --rude it behaves as the real vendors do, in every respect or in those named:

{_BEHAVIOURS}
"""


def sample_vendor(
    names: Annotated[str, typer.Argument(metavar="[NAMES]", help="Behaviours, with commas between; all where none is named.")] = "",
    rude: Annotated[bool, typer.Option("--rude", help="Behave as the real vendors do.")] = False,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")] = 8310,
    first_byte: Annotated[float, typer.Option(help="Delay of slow_start, seconds.")] = POLITE.first_byte_s,
    bytes_per_s: Annotated[int, typer.Option(help="Speed of drip.")] = POLITE.bytes_per_s,
    max_days: Annotated[int, typer.Option(help="Days above which too_large answers 504.")] = POLITE.max_days,
    max_bytes: Annotated[int, typer.Option(help="Bytes above which too_large answers 504.")] = POLITE.max_bytes,
) -> None:
    from hydra_assets.config.load import load_config
    from hydra_assets.flow.feeds.registry import FEEDS
    from hydra_assets.flow.feeds.sample import served
    from hydra_assets.sources.sample.databento import SAMPLE_KEY
    from hydra_assets.sources.sample.server import SampleVendor

    if names and not rude:
        raise ConfigError(f"{names!r}: write --rude {names} for a vendor that behaves so")
    facts = served(load_config(), cache=resolve_home("sample").cache)
    if rude:
        sizes = {"first_byte_s": first_byte, "bytes_per_s": bytes_per_s, "max_days": max_days, "max_bytes": max_bytes}
        facts = dataclasses.replace(facts, rude=Rudeness.of(names.split(",") if names else [ALL], **sizes))
    with SampleVendor([feed.sample(facts) for feed in FEEDS.values()], port=port, rude=facts.rude) as running:
        real = "the lean-hogs COT rows of 2025 and the cash hogs of February 2019"
        console.print(f"sample vendor at {running.url}  (synthetic data, but for {real}). Ctrl-C stops it.", soft_wrap=True)
        if facts.rude.on:
            console.print(f"rude: {', '.join(facts.rude.on)}", soft_wrap=True)
        console.print(f"try: {running.url}/files/dea/history/fut_disagg_txt_2025.zip", soft_wrap=True)
        console.print(f"and: curl -u {SAMPLE_KEY}: {running.url}/v0/metadata.get_dataset_range", soft_wrap=True)
        try:
            running.wait()
        except KeyboardInterrupt:
            console.print("stopped")
