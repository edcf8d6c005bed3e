"""One row a measure, one table of all: ours beside a peer's way, alternated in one process."""

import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

LEAST_S = 0.05  # shorter work is repeated until the clock can see it


@dataclass(frozen=True)
class Row:
    """
    A measure.

    Attributes:
        work: the work that was done.
        ours: seconds, or another *unit*, that this package takes.
        beside: name of what the same work was done with instead; empty where *ours* itself is judged.
        other: seconds or units of that.
        most: largest ratio ours/other to reach; largest *ours* where nothing stands beside; None: for information.
        unit: of *ours* and *other*.
    """

    work: str
    ours: float
    beside: str = ""
    other: float | None = None
    most: float | None = None
    unit: str = "s"

    @property
    def ratio(self) -> float | None:
        """Ours by the other's."""
        return None if self.other is None else self.ours / self.other

    @property
    def cells(self) -> tuple[str, str, str, str, str]:
        """The row as text."""
        beside = f"{self.beside}: {_amount(self.other, self.unit)}" if self.other is not None else self.beside
        ratio = "" if self.ratio is None else f"{_number(self.ratio)}x"
        return self.work, _amount(self.ours, self.unit), beside, ratio, self._to_reach()

    def _to_reach(self) -> str:
        if self.most is None:
            return ""
        found = self.ours if self.ratio is None else self.ratio
        bound = _amount(self.most, self.unit) if self.ratio is None else f"{_number(self.most)}x"
        return f"<= {bound} {'reached' if found <= self.most else 'missed'}"


def _number(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 1 else f"{value:.3f}"


def _amount(value: float, unit: str) -> str:
    return f"{_number(value * 1000)} ms" if unit == "s" and value < 1 else f"{_number(value)} {unit}"


def processor() -> float:
    """Seconds of user and system time of this process and of its children that ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def alternated(
    rounds: int, *works: Callable[[], object], clock: Callable[[], float] = processor, before: Callable[[], object] | None = None
) -> list[float]:
    """
    Median seconds of each of *works*, done in turns, so that a slow minute is slow for all.

    Args:
        rounds: turns of each.
        clock: processor time, unless the work waits for a disk.
        before: called before each work, off the clock.
    """
    spent: list[list[float]] = [[] for _ in works]
    for number in range(rounds):
        order = list(zip(works, spent, strict=True))
        for work, seconds in order[number % 2 :] + order[: number % 2]:  # none is always the one after the other
            took, times = 0.0, 0
            while times == 0 or took < LEAST_S:
                if before is not None:
                    before()
                begun = clock()
                work()
                took, times = took + clock() - begun, times + 1
                if took == 0 and times > 1000:
                    break
            seconds.append(took / times)
    return [statistics.median(each) for each in spent]


def wall() -> float:
    """Seconds of the clock on the wall, for work that waits."""
    return time.perf_counter()


def machine(folder: Path) -> str:
    """Cores, Python, and disk and file system under *folder*."""
    device, system = _mount(folder)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    runs = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{cores} cores, {runs}; disk {device}, file system {system}"


def _mount(folder: Path) -> tuple[str, str]:
    """Device and file system of the longest mount point above *folder*."""
    try:
        mounts = [line.split()[:3] for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return "unknown", "unknown"
    above = [mount for mount in mounts if folder.absolute().is_relative_to(mount[1])]
    device, _, system = max(above, key=lambda mount: len(mount[1]))
    return device, system


def drawn(rows: Iterable[Row]) -> str:
    """The rows as one table."""
    cells = [("work", "ours", "beside", "ratio", "to reach"), *(row.cells for row in rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(5)]
    left = (True, False, True, False, True)
    lines = [
        "  ".join(f"{cell:<{width}}" if is_left else f"{cell:>{width}}" for cell, width, is_left in zip(row, widths, left, strict=True))
        for row in cells
    ]
    return "\n".join(line.rstrip() for line in (lines[0], "-" * len(lines[0]), *lines[1:]))
