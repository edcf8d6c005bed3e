"""`hydra-assets catalogue`: what every feature is."""

import typer


def catalogue() -> None:
    """Print the feature catalogue as Markdown: formula, unit, look-back, when each is known, and source."""
    from hydra_assets.features import ALL
    from hydra_assets.features.catalogue import catalogue as page

    typer.echo(page(ALL), nl=False)
