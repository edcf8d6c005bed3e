"""The share of an answer's records that may be unusable before the whole answer is refused."""

from collections.abc import Sequence

MAX_QUARANTINED_SHARE = 0.01


def refusal_of(quarantined: Sequence[object], bad: int, usable: int, share: float = MAX_QUARANTINED_SHARE) -> str | None:
    """
    The reason for refusing an answer; None where it is accepted.

    Args:
        quarantined: records that cannot be used, each with its reason.
        bad: how many of them count; a single one never refuses an answer.
        usable: records that could be rows, the bad ones included.
        share: of them that may be bad.
    """
    if bad <= 1 or bad <= share * usable:
        return None
    return f"{bad} of {usable} records are unusable, more than {share:.0%}; first: {quarantined[0]}"
