"""`hydra-assets catalogue`: print formula, unit and source of every feature."""

import dataclasses

import typer

from hydra_assets.cli.console import JsonOption, print_json


def catalogue(as_json: JsonOption = False) -> None:
    """
    Print the feature catalogue as Markdown: formula, unit, look-back, when each is known, and source.

    Features of other packages, declared by the entry point group hydra_assets.features, are in it too.
    """
    from hydra_assets.features import ALL
    from hydra_assets.features.catalogue import catalogue as page

    if as_json:
        shown = ("name", "family", "unit", "formula", "availability", "source")
        print_json(
            [
                {**{name: getattr(feature, name) for name in shown}, "windows": [dataclasses.asdict(window) for window in feature.windows]}
                for feature in ALL
            ]
        )
        return
    typer.echo(page(ALL), nl=False)
