"""Changed bytes, cuts and emptiness of the small files: journal, findings, log of answers, ledger; no answer is wrong without a word."""

import os
import random
import sqlite3
import subprocess
import sys

import pytest

from hydra_assets.errors import CorruptionError, HydraError
from hydra_assets.sources.ledger import Budget, Ledger
from hydra_assets.sources.publications import Publication, Publications
from hydra_assets.sqlite_wal import _fault
from hydra_assets.storage.sqlite.findings import Findings
from hydra_assets.storage.sqlite.served import SqliteServedLog
from hydra_assets.storage.store import FeatureStore
from hydra_assets_tests.storage.test_store_bytes import DAY, FIRST, TIMES, fill, questions

pytestmark = pytest.mark.filterwarnings("ignore::hydra_assets.errors.UnprovenWarning")

KILLED = """
import os, sys
from hydra_assets.storage.store import FeatureStore
from hydra_assets_tests.storage.test_store_bytes import DAY, FIRST, TIMES, fill
store = FeatureStore(sys.argv[1], world="sample")
fill(store)
for n in range(3):
    store.write_feature("HE", "f0", FIRST + (200 + n) * DAY, FIRST + (201 + n) * DAY, float(n))
os._exit(9)
"""


def changed(body, place):
    byte, bit = divmod(place, 8)
    return body[:byte] + bytes([body[byte] ^ (1 << bit)]) + body[byte + 1 :]


def faults(path, bodies, ask, right, places):
    """Silent and unnamed faults of one file of *bodies*, by place; the other files lie as they were."""
    for name, place in places:
        for side in path.parent.iterdir():
            side.unlink()
        for each, body in bodies.items():
            path.with_name(each).write_bytes(changed(body, place) if each == name else body)
        try:
            answer = ask(path)
        except HydraError as error:
            if path.name not in str(error):
                yield f"{name} byte {place // 8}: unnamed: {error}"
        else:
            if answer != right:
                yield f"{name} byte {place // 8} of {len(bodies[name])}: silent"


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A store whose writer was killed: the newest transactions lie in its journal alone."""
    path = tmp_path_factory.mktemp("killed") / "store.sqlite"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == 9
    bodies = {name: path.with_name(name).read_bytes() for name in (path.name, f"{path.name}-wal")}
    assert len(bodies[f"{path.name}-wal"]) > 20_000
    return path, bodies


def answers(path):
    with FeatureStore(path) as store:
        return [ask() for ask in questions(store)]


@pytest.mark.parametrize("share", [10, pytest.param(1, marks=pytest.mark.slow)])
def test_one_changed_bit_of_a_journal_that_was_not_merged_is_never_silent(share, killed, tmp_path):
    _, bodies = killed
    path = tmp_path / "store.sqlite"
    for name, body in bodies.items():
        path.with_name(name).write_bytes(body)
    right = answers(path)
    assert right[0][-1]["f0"] == 2.0
    journal, rng = f"{path.name}-wal", random.Random(5)
    size = len(bodies[journal])
    places = [rng.randrange(8 * size) for _ in range(100)] + [rng.randrange(256) for _ in range(10)]
    places += [8 * (size - 2 * 4120) - rng.randrange(8 * 3 * 4120) for _ in range(60)]  # the last acknowledged transaction
    places += [8 * (32 + 4120 * rng.randrange(size // 4120) + rng.randrange(24)) + rng.randrange(8) for _ in range(40)]  # heads of frames
    assert list(faults(path, bodies, answers, right, [(journal, place) for place in places[::share]])) == []


def test_a_journal_of_a_transaction_that_was_cut_off_is_no_fault(killed, tmp_path):
    _, bodies = killed
    journal = tmp_path / "store.sqlite-wal"
    whole = bodies["store.sqlite-wal"]
    for cut in (*range(0, 9000, 500), 33, 31):
        journal.write_bytes(whole[: len(whole) - cut])
        assert _fault(journal) is None
    journal.write_bytes(whole[:-4120] + bytes(4120))  # the mark was not on the disk yet when the power went
    assert _fault(journal) is None


def test_writers_at_work_are_no_damage(tmp_path):
    path = tmp_path / "store.sqlite"
    FeatureStore(path, world="sample").close()
    writer = subprocess.Popen([sys.executable, "-c", KILLED.replace("range(3)", "range(60)"), str(path)])
    opened = 0
    while writer.poll() is None:
        with FeatureStore(path) as store:
            store.markets()
        opened += 1
    assert opened > 3
    with FeatureStore(path) as store:
        assert store.check() == 661


def findings_of(path):
    with Findings(path) as opened:
        return [opened.open_of("a"), opened.open_of("b")]


def served_of(path):
    with SqliteServedLog(path) as log:
        return log.read()


REQUEST = {"dataset": "GLBX.MDP3", "schema": "statistics", "symbols": "HE.FUT"}


def ledger_of(path):
    """Money first: a request that is forgotten is paid again."""
    week = {**REQUEST, "start": FIRST, "end": FIRST + DAY}
    with Ledger(path) as ledger:
        answer = [
            ledger.spent(),
            ledger.spent("run"),
            ledger.covering({**week, "start": FIRST + DAY, "end": FIRST + 2 * DAY}, seen_since=FIRST.date()),
        ]
        answer += [ledger.captured("futures_bars", "LE"), ledger.requests(), ledger.touches(week), ledger.job_ids()]
    with Publications(path) as seen:
        return [*answer, seen.newest(5)]


@pytest.fixture
def small(tmp_path):
    """A findings file and a log of answers."""
    months = [("HE", f"2025-{month:02d}") for month in range(1, 13)]
    with Findings(tmp_path / "findings.sqlite") as opened:
        for asset in ("a", "b"):
            opened.judge(asset, "check", months, dict.fromkeys(months[::2], "two rows are wrong"))
    with FeatureStore(tmp_path / "store.sqlite", world="sample") as store:
        fill(store)
        for time in TIMES:
            store.get_features_at("HE", time, log=True)
        served = store.served_path
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        days = [FIRST.date() + n * DAY for n in range(60)]
        for market in ("HE", "LE"):
            ledger.capture("futures_bars", market, [(day, day) for day in days], FIRST)
        for n in range(20):
            asked = {**REQUEST, "start": FIRST + n * DAY, "end": FIRST + (n + 1) * DAY}
            number = ledger.reserve(asked, usd=1.5, records=10, size=100, budget=Budget("run"), now=FIRST)
            if n % 3:
                ledger.keep(number, f"hash {n}", FIRST)
    with Publications(tmp_path / "ledger.sqlite") as seen:
        for n in range(30):
            seen.observe(Publication(days[n], FIRST, FIRST, None, "0" * 64))
    return {"findings.sqlite": findings_of, served.name: served_of, "ledger.sqlite": ledger_of}


@pytest.mark.parametrize("name", ["findings.sqlite", "store.served.sqlite", "ledger.sqlite"])
def test_one_changed_bit_of_findings_answers_or_ledger_is_never_silent(small, tmp_path, name):
    body, ask = (tmp_path / name).read_bytes(), small[name]
    right = ask(tmp_path / name)
    path = tmp_path / "alone" / name
    path.parent.mkdir()
    rng = random.Random(7)
    places = [rng.randrange(8 * len(body)) for _ in range(150)] + [rng.randrange(800) for _ in range(40)]
    places += [8 * (page + rng.randrange(40)) + rng.randrange(8) for page in range(0, len(body), 4096) for _ in range(8)]
    assert list(faults(path, {name: body}, ask, right, [(name, place) for place in places])) == []


@pytest.mark.parametrize("kind", ["store", "findings", "served", "ledger", "publications"])
def test_an_empty_file_is_refused_by_name_and_stays(tmp_path, kind):
    path = tmp_path / "it.sqlite"
    path.touch()
    kinds = {"store": FeatureStore, "findings": Findings, "served": served_of, "ledger": Ledger, "publications": Publications}
    with pytest.raises(CorruptionError, match=r"it\.sqlite: is empty .*(restore|move)"):
        kinds[kind](path)
    assert path.stat().st_size == 0
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_store_that_was_cut_is_never_another_store(tmp_path):
    whole = tmp_path / "whole.sqlite"
    with FeatureStore(whole, world="sample") as store:
        fill(store)
    body, path = whole.read_bytes(), tmp_path / "store.sqlite"
    right = answers(whole)
    for size in (0, 1, 15, 16, 99, 100, 511, 512, 4095, 4096, 8192, len(body) // 8192 * 4096, len(body) - 4096, len(body) - 1):
        for side in tmp_path.glob("store.sqlite*"):
            side.unlink()
        path.write_bytes(body[:size])
        with pytest.raises(HydraError, match=r"store\.sqlite"):
            assert answers(path) == right


def test_a_kill_while_a_store_is_made_leaves_none_or_a_whole_one(tmp_path, monkeypatch):
    path = tmp_path / "store.sqlite"
    link = os.link

    def fail(*_args, **_more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(HydraError, match=r"store\.sqlite.*No space"):
        FeatureStore(path)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(os, "link", link)
    FeatureStore(path).close()
    assert [each.name for each in tmp_path.iterdir()] == ["store.sqlite"]


def test_seals_are_made_for_files_of_before(small, tmp_path):
    for name, ask in small.items():
        path = tmp_path / name
        right = ask(path)
        with sqlite3.connect(path) as before:
            before.execute("DROP TABLE table_seals")
        assert ask(path) == right
        with sqlite3.connect(path) as after:
            assert after.execute("SELECT count(*) FROM table_seals").fetchone() == (4 if "ledger" in name else 1,)


def test_a_damaged_mirror_is_made_anew(tmp_path):
    path = tmp_path / "store.sqlite"
    with FeatureStore(path, world="sample") as store:
        fill(store)
        right = store.get_training_frame(["HE", "LE"], TIMES, with_meta=True)
    mirror = next(tmp_path.glob("*mirror-HE*"))
    body, rng = mirror.read_bytes(), random.Random(11)
    for place in [rng.randrange(8 * len(body)) for _ in range(150)]:
        mirror.write_bytes(changed(body, place))
        with FeatureStore(path) as store:
            assert store.get_training_frame(["HE", "LE"], TIMES, with_meta=True).equals(right)
    for size in (0, 7, len(body) // 2, len(body) - 1):
        mirror.write_bytes(body[:size])
        with FeatureStore(path) as store:
            assert store.get_training_frame(["HE", "LE"], TIMES, with_meta=True).equals(right)
