"""
The rule on records that cannot be used: one costs itself; where most of a day's are bad, they cost the day.

A day that is refused is not captured, and nothing of it is kept in the lake: its bytes are in the archive, and are read again by the next
run. Every other day of the same answer stands. Of an archive that is one file for years, the CFTC's, the rule is of the whole file.
"""

MAX_QUARANTINED_SHARE = 0.5


def is_refused(bad: int, usable: int) -> bool:
    """
    Whether *bad* of the records that could be rows are too many; a single one never is.

    Args:
        bad: how many cannot be used.
        usable: records that could be rows, the bad ones included.
    """
    return bad > 1 and bad > MAX_QUARANTINED_SHARE * usable


def refusal_of(first: object, bad: int, usable: int, *, of: str = "") -> str:
    """The reason for refusing what `is_refused`; *first* is the first bad record, *of* says of what the numbers are."""
    return f"{bad} of {usable} records{of} are unusable, more than {MAX_QUARANTINED_SHARE:.0%}; first: {first}"
