"""A home that may only be read: the reason and the one command that mends it; work that writes is refused before it begins."""

import os
import stat

import pytest
from typer.testing import CliRunner

from hydra_assets.cli import walkthrough  # noqa: F401  another user cannot import from our own environment
from hydra_assets.cli.main import app
from hydra_assets.config.home import Home
from hydra_assets.doctor.home import examine_home
from hydra_assets.errors import StorageError
from hydra_assets.storage.lake import ParquetLake
from hydra_assets.storage.store import FeatureStore
from hydra_assets_tests.storage.test_disk import home as home  # a folder that another user can reach
from hydra_assets_tests.storage.test_disk import no_superuser


@pytest.fixture
def made(home):
    """A home with a store and a lake."""
    found = Home("sample", home)
    found.prepare_dagster()
    FeatureStore(found.store, world="sample").close()
    ParquetLake(found.lake, world="sample")
    return found


def only_to_be_read(home):
    for path in (home.base, *home.base.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)


def test_a_home_that_may_be_written_has_no_obstacle(made):
    assert made.obstacle() is None
    made.create_to_write()


def test_the_owner_mends_the_mode(made):
    only_to_be_read(made)
    if os.geteuid() == 0:
        pytest.skip("the superuser's rights do not depend on modes")
    found = made.obstacle()
    assert found.remedy == f"chmod -R u+rwX {made.base}"


def test_another_user_takes_the_home_over(made):
    only_to_be_read(made)
    with no_superuser():
        if os.geteuid() == made.base.stat().st_uid:
            pytest.skip("not started by the superuser")
        found = made.obstacle()
        assert found.remedy == f"sudo chown -R {os.geteuid()} {made.base}"
        with pytest.raises(StorageError, match="nothing was begun; to write: sudo chown"):
            made.create_to_write()
        (finding,) = [each for each in examine_home(made) if each.status == "problem"]
        assert (finding.name, finding.remedy) == ("home", found.remedy)
        assert "reading works" in finding.message


def test_one_file_that_may_only_be_read_is_named(made):
    made.base.chmod(0o777)
    made.root.chmod(0o777)
    for folder in (made.lake, made.archives, made.dagster, made.cache):
        folder.chmod(0o777)
    with no_superuser():
        if os.geteuid() == made.base.stat().st_uid:
            pytest.skip("not started by the superuser")
        assert made.obstacle().place == made.store


def test_a_file_system_that_may_only_be_read_is_mounted_anew(made, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_args, **_more: False)
    monkeypatch.setattr(os, "statvfs", lambda _path: os.statvfs_result((0,) * 8 + (os.ST_RDONLY, 255)))
    assert made.obstacle().remedy.startswith("sudo mount -o remount,rw /")


@pytest.mark.parametrize("words", [["demo"], ["backfill", "HE", "2025-10"], ["store", "rebuild"], ["quote", "HE", "2025-10"], ["ui"]])
def test_commands_that_write_are_refused_in_one_line(made, monkeypatch, words):
    only_to_be_read(made)
    monkeypatch.setenv("HYDRA_HOME", str(made.base))
    monkeypatch.delenv("HYDRA_WORLD", raising=False)
    with no_superuser():
        if made.obstacle() is None:
            pytest.skip("everything may be written here")
        done = CliRunner().invoke(app, words)
    assert done.exit_code == 1
    assert isinstance(done.exception, StorageError)
    assert "to write: sudo chown" in str(done.exception)
    assert "\n" not in str(done.exception)


def test_what_a_home_is_made_of_is_for_its_owner_and_group(tmp_path):
    before = os.umask(0)
    try:
        Home("sample", tmp_path / "home").prepare_dagster()
    finally:
        os.umask(before)
    for path in (tmp_path / "home").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & ~(0o750 if path.is_dir() else 0o640) == 0, path
