"""The name by which labels differ from features."""

PREFIX = "label_"


def is_label(name: str) -> bool:
    """
    Whether *name* is a label's: no feature may have such a name, and no training frame serves one.

    >>> is_label("label_fwd_5d"), is_label("fut_ret_5d")
    (True, False)
    """
    return name.startswith(PREFIX)
