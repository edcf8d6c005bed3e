"""The guard of lake and store against a recomputation that withdraws too much."""

from hydra_assets.errors import RetractionError

MAX_WITHDRAWN = 0.2


def guard_withdrawal(withdrawn: int, current: int, place: str, *, allow_retract: bool) -> None:
    """
    Refuse to withdraw more than a fifth of the vintages that stand.

    Args:
        withdrawn: vintages that would be withdrawn.
        current: vintages that stand today.
        place: for the error.
        allow_retract: withdraw them all the same.

    Raises:
        RetractionError: nothing was changed.
    """
    if withdrawn > current * MAX_WITHDRAWN and not allow_retract:
        raise RetractionError(
            f"{place}: {withdrawn} of {current} vintages would be withdrawn, more than a fifth; nothing was changed."
            " If the computation was mended, pass allow_retract=True; if an input came empty, fetch it first"
        )
