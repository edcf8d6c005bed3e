"""The program `hydra-assets`, and ``python -m hydra_assets``: Ctrl-C is met from the first import on."""

import gc
import sys

from hydra_assets.command import INTERRUPTED


def main() -> None:
    """Run the command line."""
    gc.set_threshold(50_000, 20, 50)  # Dagster's objects stay to the end: looking through them after every 700 new ones takes seconds
    try:
        from hydra_assets.cli.main import main as run  # takes half a second, in which Ctrl-C would be a traceback

        run()
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
