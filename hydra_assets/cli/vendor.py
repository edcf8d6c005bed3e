"""`hydra-assets sample-vendor`: the embedded vendor by hand, to look at or to point other tools at."""

from typing import Annotated

import typer

from hydra_assets.cli.console import console
from hydra_assets.config.home import resolve_home
from hydra_assets.config.load import load_config, load_release_calendar


def sample_vendor(port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")] = 8310) -> None:
    """Serve the embedded sample vendor on loopback until Ctrl-C (synthetic, but for the lean-hogs rows of 2025)."""
    from hydra_assets.sources.sample.databento import SAMPLE_KEY
    from hydra_assets.sources.sample.server import SampleVendor

    with SampleVendor(load_config().markets, load_release_calendar(), cache=resolve_home("sample").cache, port=port) as running:
        console.print(f"sample vendor at {running.url}  (synthetic data, but for the lean-hogs COT rows of 2025). Ctrl-C stops it.")
        console.print(f"try: {running.url}/files/dea/history/fut_disagg_txt_2025.zip", soft_wrap=True)
        console.print(f"and: curl -u {SAMPLE_KEY}: {running.url}/v0/metadata.get_dataset_range", soft_wrap=True)
        try:
            running.wait()
        except KeyboardInterrupt:
            console.print("stopped")
