"""The user's settings file as blocks of keys; one that cannot be read is refused by name and place."""

from pathlib import Path
from typing import Any

import yaml

from hydra_assets.errors import ConfigError

_MERGE = "<<"  # YAML's own key for a block taken over


class _Loader(yaml.SafeLoader):
    """YAML without the silent rule that of two equal keys the last counts."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A block of keys, each once."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != _MERGE:
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} stands twice in one block", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def read_user_file(file: Path) -> Any:
    """
    The content of *file*; an empty one is an empty block.

    Raises:
        ConfigError: it may not be read, is no text, or is not YAML with each key once.
    """
    try:
        return yaml.load(file.read_text(encoding="utf-8"), _Loader) or {}  # noqa: S506  a SafeLoader
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: not valid YAML: {error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not text in UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from error
    except RecursionError as error:
        raise ConfigError(f"{file}: blocks within blocks without end; write it by the example of `config show`") from error
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}; name a file that you may read") from error
