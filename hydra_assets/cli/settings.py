"""`hydra-assets config`: show the settings in force, or start a config.yaml."""

import typer

from hydra_assets.cli.console import JsonOption, console, print_json
from hydra_assets.errors import ConfigError

app = typer.Typer(help="Settings: the shipped defaults with your own config.yaml merged over.", no_args_is_help=True)


@app.command()
def show(as_json: JsonOption = False) -> None:
    """Print the settings in force, as YAML; a wrong key of yours is named with its file and place."""
    import yaml

    from hydra_assets.config.load import config_text, load_config, user_config_path

    path = user_config_path()
    load_config()  # raises on a faulty file before anything is printed
    if as_json:
        print_json({"file": path if path.exists() else None, "settings": yaml.safe_load(config_text())})
        return
    typer.echo(f"# defaults, {'with ' + str(path) if path.exists() else 'no file of your own at ' + str(path)}")
    typer.echo(config_text())


@app.command()
def init() -> None:
    """Write a commented config.yaml to start from; never overwrites one."""
    from hydra_assets.config.load import user_config_path, user_config_template

    path = user_config_path()
    if path.exists():
        raise ConfigError(f"{path} exists already; edit it, or move it away first")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(user_config_template(), encoding="utf-8")
    console.print(f"wrote {path}", soft_wrap=True)
