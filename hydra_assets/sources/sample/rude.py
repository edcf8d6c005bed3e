"""
Switches that make the embedded vendor behave as the real vendors do, one behaviour each.

The polite vendor is tidier than Databento and the CFTC: its counts are exact, its open interest comes on weekdays, its streams never
break. Each switch below replaces one such courtesy by the documented or measured behaviour, from the day on (or until the day) on
which the real vendor shows it. All choices are seeded: the same switch gives the same records whenever asked.
"""

import dataclasses
import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field

from hydra_assets.errors import ConfigError

ALL = "all"


def _switch(message: str) -> bool:
    made: bool = field(default=False, metadata={"message": message})
    return made


@dataclass(frozen=True)
class Rudeness:
    """
    Behaviours of the real vendors, each off unless asked for, and the sizes that some of them need.

    Attributes:
        max_days: range above which `too_large` answers 504.
        max_bytes: uncompressed size above which `too_large` answers 504.
        bytes_per_s: speed of `drip`.
        first_byte_s: delay of `slow_start`, seconds.
        busy_polls: how often `slow_jobs` reports a job as not done.
    """

    # Requests and their answers
    counts: bool = _switch("get_record_count rounds the range outwards to 10 minutes, for definitions to 24 hours")
    too_large: bool = _switch("HTTP 504 for a stream of more than max_days or max_bytes")
    drip: bool = _switch("streams arrive at bytes_per_s; the real ones came at 30-54 kB/s in July 2026")
    slow_start: bool = _switch("the first byte of a stream comes after first_byte_s; the real ones took 7-31 s")
    breaks_off: bool = _switch("each stream and each download ends in the middle the first time, and is whole the second time")
    regenerated: bool = _switch("last_modified_date of sessions before 2025 lies in August and September 2026, the condition as before")
    live_licence: bool = _switch("403 naming an instant for the last 24 hours, although get_dataset_range includes them")
    empty_ranges: bool = _switch("422 for every range whose start is not before its end, get_dataset_condition included")
    unborn_roots: bool = _switch("option roots after a market's first one begin on 2021-06-01; before, they are not_found (206)")
    slow_jobs: bool = _switch("a batch job is queued, then processing, then done, after busy_polls looks at it")
    corrupt_files: bool = _switch("a file of a batch job has a changed byte the first time that it is downloaded")
    expired_jobs: bool = _switch("the first batch job for a request has expired when it is looked at; the second is made")
    live_prices: bool = _switch("dollars by schema as in published ledgers: daily bars cost 16 times the sample's flat price")

    # Statistics
    friday: bool = _switch("open interest and volume: Friday's on Sunday 18:00Z, others 02:00Z the next day and again at 14:00Z")
    undated: bool = _switch("no ts_ref on open interest and volume until 2017, and on all replays of a weekend, settlements too")
    unflagged: bool = _switch("settlement flags are 0 or 4 until 2014; the price seldom changes between prints")
    never_final: bool = _switch("half of the sessions of contracts a year or more away get no final settlement, in every year")
    early_final: bool = _switch("a final settlement received the evening before its trading date, of one contract a year")
    after_expiry: bool = _switch("a settlement repeated for the session after the expiration, of one contract a year")
    undefined_quantity: bool = _switch("one volume or open interest in 300 has no quantity, and is no deletion")
    reused_ids: bool = _switch("an expired option's id is another option's from the next session on, while its last figures arrive")

    # Definitions
    corrected_expiration: bool = _switch("expirations corrected by an hour (2021-11-08, 2025-10-15) and by a day (2025-10-15) in mid-life")
    sundays: bool = _switch("definitions on Sundays too, from 2010-06-06 on")
    two_digit_years: bool = _switch("every second contract is spelt with two digits of its year from 2024-06-03 on, as in NGN25")
    double_definitions: bool = _switch("two definitions of one instrument at one instant, the first without limits")
    no_expiration: bool = _switch("one definition a year has no expiration")

    # Bars and quotes
    long_hours: bool = _switch("until 2014-10-26 (grains: 2013-04-07; energy: ever) a UTC day's bar holds the evening of the next session")
    grain_clock: bool = _switch("grains are quoted until 13:20 and settle on 13:15 Chicago, quarter of an hour after 13:00")

    # The CFTC
    absent_market: bool = _switch("oats are in no report of January to August: too few traders")
    bad_byte: bool = _switch("a byte that is no UTF-8 in the name of another market")
    combined_rows: bool = _switch("each report twice: futures only, and futures and options combined")
    html_january: bool = _switch("an archive that is not there yet is a page of HTML with status 200")
    member_case: bool = _switch("the member of the 2006-2016 archive is F_DisAgg06_16.txt")

    max_days: int = 366
    max_bytes: int = 200_000_000
    bytes_per_s: int = 40_000
    first_byte_s: float = 30.0
    busy_polls: int = 3

    @classmethod
    def none(cls) -> "Rudeness":
        """The polite vendor."""
        return cls()

    @classmethod
    def all(cls, **sizes: float) -> "Rudeness":
        """Every behaviour at once."""
        return cls.of([ALL], **sizes)

    @classmethod
    def of(cls, names: Iterable[str], **sizes: float) -> "Rudeness":
        """
        The behaviours named; ``all`` stands for every one.

        Raises:
            ConfigError: a name is unknown; the nearest or all are listed.
        """
        known, wanted = behaviours(), list(names)
        for name in wanted:
            if name not in known and name != ALL:
                near = difflib.get_close_matches(name, known, 1)
                raise ConfigError(
                    f"{name!r} is no behaviour of the vendor; {f'did you mean {near[0]}' if near else f'known are {sorted(known)}'}"
                )
        switched = known if ALL in wanted else wanted
        return dataclasses.replace(cls(**dict.fromkeys(switched, True)), **sizes)  # type: ignore[arg-type]

    @property
    def on(self) -> tuple[str, ...]:
        """Names of the behaviours that are switched on."""
        return tuple(name for name in behaviours() if getattr(self, name))


def behaviours() -> dict[str, str]:
    """Every behaviour and what it does, in order."""
    return {each.name: each.metadata["message"] for each in dataclasses.fields(Rudeness) if "message" in each.metadata}


POLITE = Rudeness.none()
