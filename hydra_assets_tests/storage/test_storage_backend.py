"""The promises of a Storage, run on every implementation."""

import threading

import pyarrow as pa
import pytest

from hydra_assets.storage.backend import Storage

FOLDER = "data_type=t/market=HE/year=2026/month=02"


def put(storage: Storage, key: str, body: bytes = b"body") -> str:
    with storage.lock(key.rpartition("/")[0]), storage.staging("unique") as stage:
        (stage / "file").write_bytes(body)
        storage.commit(stage / "file", key)
    return key


def test_a_storage_that_nobody_wrote_to_is_empty_and_looking_makes_nothing(storage):
    assert not storage.exists()
    assert storage.names(FOLDER) == []
    assert storage.folders("data_type=*") == []
    assert storage.last_stamp(FOLDER) is None
    assert storage.orphans() == []
    for look in (storage.read, storage.open, storage.size, storage.age_s, storage.state):
        with pytest.raises(FileNotFoundError):
            look(f"{FOLDER}/absent")
    assert not storage.exists()


def test_what_is_committed_is_listed_and_read_whole_or_in_part(storage):
    key = put(storage, f"{FOLDER}/one", b"0123456789")
    assert storage.exists()
    assert "one" in storage.names(FOLDER)
    assert storage.read(key) == b"0123456789"
    assert storage.size(key) == 10
    assert 0 <= storage.age_s(key) < 60
    with storage.open(key) as file:
        assert file.size() == 10
        file.seek(4)
        assert file.read(3) == b"456"
        assert isinstance(file, pa.NativeFile)
    assert storage.path(key).parts[-2:] == ("month=02", "one")


def test_what_is_staged_is_not_seen_and_a_failure_leaves_nothing(storage):
    seen = []

    def fail():
        with storage.lock(FOLDER), storage.staging("unique") as stage:
            seen.append(stage)
            (stage / "file").write_bytes(b"half")
            assert "file" not in storage.names(FOLDER)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not seen[0].exists()
    assert "file" not in storage.names(FOLDER)


def test_a_key_is_committed_once(storage):
    key = put(storage, f"{FOLDER}/one", b"first")
    with pytest.raises(FileExistsError):
        put(storage, key, b"second")
    assert storage.read(key) == b"first"


def test_folders_match_segment_by_segment_in_order(storage):
    for market, month in (("LE", "01"), ("HE", "02"), ("HE", "01")):
        put(storage, f"data_type=t/market={market}/year=2026/month={month}/one")
    put(storage, "data_type=u/market=HE/year=2026/month=01/one")
    months = storage.folders("data_type=t/market=*/year=*/month=*")
    assert months == [
        f"data_type=t/market={place}" for place in ("HE/year=2026/month=01", "HE/year=2026/month=02", "LE/year=2026/month=01")
    ]
    assert storage.folders("data_type=*/market=HE/year=*/month=01") == [
        "data_type=t/market=HE/year=2026/month=01",
        "data_type=u/market=HE/year=2026/month=01",
    ]


def test_a_deleted_key_is_gone_and_deleting_it_again_is_allowed(storage):
    key = put(storage, f"{FOLDER}/one")
    for _ in range(2):
        storage.delete(key)
        assert "one" not in storage.names(FOLDER)
    with pytest.raises(FileNotFoundError):
        storage.open(key)


def test_create_keeps_the_first_and_replace_the_last(storage):
    storage.create("WORLD", b"first")
    storage.create("WORLD", b"second")
    assert storage.read("WORLD") == b"first"
    storage.replace("WORLD", b"third")
    assert storage.read("WORLD") == b"third"


def test_lines_are_appended_and_one_that_was_cut_is_dropped(storage):
    key = f"{FOLDER}/log"
    with storage.lock(FOLDER):
        storage.append_line(key, "one")
        storage.append_line(key, "two é")
        assert storage.read(key).decode() == "one\ntwo é\n"
        storage.replace(key, b"one\ntwo\nhal")
        storage.append_line(key, "three")
    assert storage.read(key) == b"one\ntwo\nthree\n"


def test_stamps_rise_strictly_and_the_last_one_is_kept(storage):
    stamps = []
    for _ in range(3):
        with storage.lock(FOLDER) as clock:
            stamps += [clock.next(), clock.next()]
    assert stamps == sorted(set(stamps))
    assert storage.last_stamp(FOLDER) == stamps[-1]
    with storage.lock("data_type=u"):
        assert storage.last_stamp("data_type=u") is None


def test_one_writer_at_a_time(storage):
    inside, most = [], []

    def write(number):
        for n in range(5):
            with storage.lock(FOLDER):
                inside.append(number)
                most.append(len(inside))
                storage.append_line(f"{FOLDER}/log", f"{number} {n}")
                inside.remove(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1}
    assert len(storage.read(f"{FOLDER}/log").splitlines()) == 20


def test_a_lock_ends_with_an_exception(storage):
    with pytest.raises(ZeroDivisionError), storage.lock(FOLDER):
        raise ZeroDivisionError
    with storage.lock(FOLDER) as clock:
        assert clock.next()
    storage.sweep()
