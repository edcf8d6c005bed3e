"""Lists of names as callers hold them: one name, or several in whatever holds several."""

from collections.abc import Iterable

from hydra_assets.errors import InvalidNameError


def names_of(names: object, what: str) -> list[str]:
    """
    *names* as a list; a text is one name, never its letters.

    Args:
        names: a text, or a list, tuple, set, array, pandas or Arrow column of texts.
        what: the argument's name, for the message.

    Raises:
        InvalidNameError: neither, or one of them is no text.

    >>> names_of("cot_mm_net", "features")
    ['cot_mm_net']
    """
    if isinstance(names, str):
        return [str(names)]
    for to_list in ("to_pylist", "tolist"):  # of Arrow; of numpy and pandas
        if hasattr(names, to_list):
            names = getattr(names, to_list)()
            break
    if not isinstance(names, Iterable):
        raise InvalidNameError(f"{what} must be a name or a list of names, not {names!r}")
    found = list(names)
    if set(map(type, found)) <= {str}:
        return found
    wrong = [name for name in found if not isinstance(name, str)]
    if wrong:
        raise InvalidNameError(f"{what} must be names; {wrong[0]!r} is none")
    return [str(name) for name in found]
