"""SQL stands behind the FactTable, file operations of the lake behind the Storage, and nowhere else."""

import ast
import re
from pathlib import Path

import pytest

import hydra_assets

PACKAGE = Path(hydra_assets.__file__).parent
# The implementations of the two seams, and what writes files of its own: the mirror's cache, a certificate at the user's path.
DISK = {"storage/local.py", "storage/mirror.py", "storage/certificate.py", "storage/plugin_code.py"}
SQL = ("storage/sqlite/", "sources/ledger", "sources/publications.py", "sqlite_")
MODULES_OF_FILES = {"os", "shutil", "fcntl", "glob", "tempfile", "io"}
OPERATIONS = {
    "exists", "is_file", "is_dir", "glob", "rglob", "iterdir", "walk", "scandir", "listdir", "mkdir", "makedirs", "rmdir", "rmtree", "stat",
    "lstat", "unlink", "remove", "rename", "link", "hardlink_to", "symlink_to", "touch", "truncate", "fsync", "read_bytes", "read_text",
    "write_bytes", "write_text",
}  # fmt: skip
STATEMENT = re.compile(
    r"\s*(SELECT .* FROM|INSERT (OR \w+ )?INTO|UPDATE \w+ SET|DELETE FROM|CREATE TABLE|PRAGMA |BEGIN$|BEGIN IMMEDIATE)", re.DOTALL
)


def name_of(path):
    return path.relative_to(PACKAGE).as_posix()


def last_name(node):
    """``lake`` of ``home.lake`` and of ``lake``."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def file_operations(tree):
    """Lines that open, list, stat or change files, in a module that should only know a Storage."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = last_name(node.func)
            on_storage = isinstance(node.func, ast.Attribute) and last_name(node.func.value).endswith("storage")
            if (called in OPERATIONS and not on_storage) or (called == "open" and isinstance(node.func, ast.Name)):
                yield node.lineno
        elif isinstance(node, ast.Attribute) and last_name(node.value) in MODULES_OF_FILES and node.attr != "PathLike":
            yield node.lineno


def lake_paths(tree):
    """Lines outside storage/ that reach into a lake's folder by path."""
    for node in ast.walk(tree):
        call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        by_path = call and node.func.attr in OPERATIONS - {"exists"} and last_name(node.func.value) in ("lake", "base_path")
        if by_path or (isinstance(node, ast.Attribute) and node.attr == "_storage"):
            yield node.lineno


def speaks_sql(node):
    if isinstance(node, ast.Import):
        return any(each.name == "sqlite3" for each in node.names)
    if isinstance(node, ast.ImportFrom):
        return node.module == "sqlite3"
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and STATEMENT.match(node.value) is not None


def statements(tree):
    """Lines that speak SQL."""
    return [node.lineno for node in ast.walk(tree) if speaks_sql(node)]


def found(scan, among):
    every = {name_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}
    lines = {name: sorted(set(scan(tree))) for name, tree in every.items() if among(name)}
    return {name: numbers for name, numbers in lines.items() if numbers}


def test_no_file_operation_in_storage_outside_its_implementations():
    assert found(file_operations, lambda n: n.startswith("storage/") and n not in DISK and not n.startswith(SQL)) == {}


def test_nobody_outside_storage_reaches_into_a_lake_by_path():
    assert found(lake_paths, lambda n: not n.startswith("storage/")) == {}


def test_no_sql_outside_its_implementations():
    assert found(statements, lambda n: not n.startswith(SQL)) == {}


@pytest.mark.parametrize(
    ("scan", "text"),
    [
        (file_operations, "folder.mkdir()"),
        (file_operations, "os.link(a, b)"),
        (file_operations, "with open(path) as file: pass"),
        (file_operations, "files = list((root / 'x').glob('*'))"),
        (lake_paths, "home.lake.glob('*')"),
        (lake_paths, "desk.lake.base_path.rglob('*.parquet')"),
        (lake_paths, "lake._storage.read('x')"),
        (statements, "db.execute(f'SELECT a FROM {table}')"),
        (statements, "statement = 'INSERT OR REPLACE INTO t VALUES (?)'"),
        (statements, "from sqlite3 import connect"),
        (statements, "import sqlite3"),
    ],
)
def test_each_kind_would_be_seen(scan, text):
    assert list(scan(ast.parse(text)))


@pytest.mark.parametrize("text", ["self._storage.exists()", "storage.open(key)", "x: os.PathLike[str]", "storage.read(key)"])
def test_what_goes_through_the_seam_is_allowed(text):
    assert not list(file_operations(ast.parse(text)))
