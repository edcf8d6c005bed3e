"""
Databento's batch API as the embedded vendor speaks it: a job is submitted, waited for, and downloaded file by file.

Jobs are kept beside the cache, so that a vendor that is started again still has them; files are made again from the job.
"""

import datetime as dt
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

EXPIRES = dt.timedelta(30)  # for so long a job's files are downloaded at no charge
STATES = ("queued", "processing", "done", "expired")
Encode = Callable[[dict[str, str]], bytes | None]


class BatchJobs:
    """
    The jobs of one vendor.

    Args:
        folder: where jobs are written down; None keeps them in memory.
        encode: a request's parameters to its zstd DBN; None where there are no records.
        now: its clock.
        busy_polls: how often a job is looked at before it is done.
        expires: the first job for a request expires at once.
        corrupts: a file is changed the first time that it is downloaded.
    """

    def __init__(
        self,
        folder: Path | None,
        encode: Encode,
        now: Callable[[], dt.datetime],
        busy_polls: int = 0,
        *,
        expires: bool = False,
        corrupts: bool = False,
    ) -> None:
        self._folder, self._encode, self._now, self._busy_polls = folder, encode, now, busy_polls
        self._jobs: dict[str, dict[str, Any]] = {}
        self._files: dict[str, dict[str, bytes]] = {}
        self._polls: dict[str, int] = {}
        self._expires, self._corrupts = expires, corrupts
        self._downloaded: set[tuple[str, str]] = set()
        if folder is not None and folder.exists():
            for path in sorted(folder.glob("*.json")):
                job = json.loads(path.read_text(encoding="utf-8"))
                self._jobs[job["id"]] = job
                self._polls[job["id"]] = busy_polls  # what was begun before is done by now

    def submit(self, asked: Mapping[str, str], *, usd: float, records: int, size: int) -> dict[str, Any]:
        """Take a job; its details as the API answers them."""
        now = self._now()
        number = hashlib.sha256(json.dumps([dict(asked), now.isoformat(), len(self._jobs)]).encode()).hexdigest()[:10].upper()
        job: dict[str, Any] = {
            "id": f"{asked['dataset'].partition('.')[0]}-{now:%Y%m%d}-{number}",
            "user_id": "SAMPLE",
            "cost_usd": usd,
            "dataset": asked["dataset"],
            "symbols": asked["symbols"],
            "stype_in": asked.get("stype_in", "raw_symbol"),
            "stype_out": asked.get("stype_out", "instrument_id"),
            "schema": asked["schema"],
            "start": asked["start"],
            "end": asked["end"],
            "limit": None,
            "encoding": "dbn",
            "compression": "zstd",
            "pretty_px": False,
            "pretty_ts": False,
            "map_symbols": False,
            "split_symbols": False,
            "split_duration": asked.get("split_duration", "day"),
            "split_size": None,
            "delivery": "download",
            "record_count": records,
            "billed_size": size,
            "ts_received": _iso(now),
            "ts_expiration": _iso(now + EXPIRES),
        }
        if self._expires and not any(_alike(job, before) for before in self._jobs.values()):
            job["ts_expiration"] = _iso(now - dt.timedelta(seconds=1))
        self._jobs[str(job["id"])] = job
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            (self._folder / f"{job['id']}.json").write_text(json.dumps(job), encoding="utf-8")
        return {**job, "state": "queued"}

    def jobs(self, states: str, since: str | None) -> list[dict[str, Any]]:
        """Jobs in *states*, in order of submission; each look brings a job nearer to its end."""
        wanted = states.split(",")
        shown = [self.details(number) for number in self._jobs]
        return [job for job in shown if job["state"] in wanted and (not since or job["ts_received"] >= since)]

    def details(self, number: str) -> dict[str, Any]:
        """One job with its state; KeyError where there is none."""
        job, state = self._jobs[number], self._state(number)
        self._polls[number] = self._polls.get(number, 0) + 1
        progress = {"queued": 0, "processing": 50}.get(state, 100)
        return {**job, "state": state, "progress": progress}

    def files(self, number: str, url: str) -> list[dict[str, Any]]:
        """The files of a job that is done, each with its size, hash and address; KeyError where the job is not done."""
        return [
            {
                "filename": name,
                "size": len(body),
                "hash": f"sha256:{hashlib.sha256(body).hexdigest()}",
                "urls": {"https": f"{url}/v0/batch/download/{number}/{name}", "ftp": ""},
            }
            for name, body in self._made(number).items()
        ]

    def file(self, number: str, name: str) -> bytes:
        """One file; KeyError where it is not there."""
        body = self._made(number)[name]
        if self._corrupts and (number, name) not in self._downloaded:
            self._downloaded.add((number, name))
            return body[:-1] + bytes([body[-1] ^ 1])
        return body

    def zipped(self, number: str) -> bytes:
        """All files of a job in one zip."""
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as made:
            for name, body in self._made(number).items():
                made.writestr(zipfile.ZipInfo(name), body)
        return packed.getvalue()

    def _state(self, number: str) -> str:
        polls = self._polls.get(number, 0)
        if polls < self._busy_polls:
            return "queued" if polls == 0 else "processing"
        return "expired" if self._jobs[number]["ts_expiration"] < _iso(self._now()) else "done"

    def _made(self, number: str) -> dict[str, bytes]:
        job = self._jobs[number]
        if self._state(number) != "done":
            raise KeyError(number)
        if number not in self._files:
            files = {"metadata.json": json.dumps({"version": 1, "job_id": number, "query": job}).encode()}
            name = job["dataset"].lower().replace(".", "-")
            for first, last, start, end in _parts(job["start"], job["end"], job["split_duration"]):
                body = self._encode({**job, "start": start, "end": end, "limit": ""})
                if body is not None:
                    span = f"{first:%Y%m%d}" if first == last else f"{first:%Y%m%d}-{last:%Y%m%d}"
                    files[f"{name}-{span}.{job['schema']}.dbn.zst"] = body
            self._files = {number: files}  # of the newest job alone: they can be large, and are made again
        return self._files[number]


def _alike(job: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two jobs are for one request."""
    return all(job[name] == other[name] for name in ("dataset", "symbols", "schema", "start", "end"))


def _parts(start: str, end: str, duration: str) -> list[tuple[dt.date, dt.date, str, str]]:
    """First and last day of each file, and the range in it."""
    low, high = (dt.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text)) for text in (start, end))
    low, high = (when if when.tzinfo else when.replace(tzinfo=dt.UTC) for when in (low, high))
    parts, at = [], low
    while at < high:
        following = min(_following(at, duration), high) if duration != "none" else high
        last = (following - dt.timedelta(microseconds=1)).date()
        parts.append((at.date(), last, at.isoformat(), following.isoformat()))
        at = following
    return parts


def _following(at: dt.datetime, duration: str) -> dt.datetime:
    day = at.replace(hour=0, minute=0, second=0, microsecond=0)
    if duration == "day":
        return day + dt.timedelta(1)
    if duration == "week":  # it starts on Sunday
        return day + dt.timedelta(7 - (day.weekday() + 1) % 7)
    if duration == "month":
        return (day.replace(day=1) + dt.timedelta(32)).replace(day=1)
    return day.replace(year=day.year + 1, month=1, day=1)


def _iso(when: dt.datetime) -> str:
    return f"{when.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%S.%f}000Z"
