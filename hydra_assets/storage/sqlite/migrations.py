"""The store's schema, one step a version; `PRAGMA user_version` says how far a file has come."""

import sqlite3
from pathlib import Path

from hydra_assets.errors import SchemaError
from hydra_assets.sqlite_seals import damaged
from hydra_assets.storage.sqlite.blocks import TABLE as BLOCKS
from hydra_assets.storage.sqlite.blocks import DamageError
from hydra_assets.storage.sqlite.seals import seal_all

_ISO = "strftime('%Y-%m-%dT%H:%M:%S', {0} / 1000000, 'unixepoch') || printf('.%06dZ', {0} % 1000000)"

STEPS = (
    f"""
    CREATE TABLE series(series_id INTEGER PRIMARY KEY, market TEXT NOT NULL, feature_name TEXT NOT NULL, UNIQUE(market, feature_name));
    CREATE TABLE facts(
        series_id INTEGER NOT NULL REFERENCES series(series_id),
        as_of INTEGER NOT NULL,          -- us UTC: the day described
        available_at INTEGER NOT NULL,   -- us UTC: first known
        recorded_at INTEGER NOT NULL,    -- us UTC: written here
        value REAL,
        quality TEXT NOT NULL DEFAULT 'normal',
        retracted INTEGER NOT NULL DEFAULT 0,
        crc INTEGER NOT NULL,
        PRIMARY KEY(series_id, as_of, available_at, recorded_at),
        CHECK(as_of <= available_at)
    ) WITHOUT ROWID;
    CREATE TABLE publishes(
        market TEXT NOT NULL, month TEXT NOT NULL, features TEXT NOT NULL, recorded_at INTEGER NOT NULL,
        folder TEXT NOT NULL, input_recorded_at INTEGER NOT NULL, new_rows INTEGER NOT NULL,
        PRIMARY KEY(market, month, features, recorded_at, folder)
    ) WITHOUT ROWID;
    CREATE TABLE about(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    INSERT INTO about VALUES ('last_recorded_at', '0');
    CREATE VIEW features AS
        SELECT s.market, s.feature_name, {_ISO.format("f.as_of")} AS as_of, {_ISO.format("f.available_at")} AS available_at,
               f.value, f.quality, {_ISO.format("f.recorded_at")} AS recorded_at
        FROM facts f JOIN series s USING (series_id)
        WHERE f.retracted = 0 AND f.recorded_at = (
            SELECT max(g.recorded_at) FROM facts g
            WHERE g.series_id = f.series_id AND g.as_of = f.as_of AND g.available_at = f.available_at);
    """,
    # The mirror needs each series' newest recording as its watermark, and a name of the store.
    """
    CREATE TABLE newest(series_id INTEGER PRIMARY KEY REFERENCES series(series_id), recorded_at INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO newest SELECT series_id, max(recorded_at) FROM facts GROUP BY series_id;
    INSERT INTO about VALUES ('identity', lower(hex(randomblob(16))));
    """,
    # Seals, by which a lost row is noticed; see `seals`.
    """
    ALTER TABLE newest ADD COLUMN rows INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE newest ADD COLUMN digest INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE newest ADD COLUMN seal INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE publish_seals(market TEXT PRIMARY KEY, rows INTEGER NOT NULL, digest INTEGER NOT NULL) WITHOUT ROWID;
    """,
    # A point read compares the block that it meets, not the whole series.
    BLOCKS,
)
_SEALED = 3  # the first version with seals


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """
    Bring the file to the newest version; two processes that start together do it once.

    Args:
        path: of the file, for the error.

    Raises:
        SchemaError: the file was written by a newer version of this package; nothing was changed.
        CorruptionError: the seals of an older version do not fit; nothing was changed.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(STEPS):
        raise SchemaError(
            f"{path}: the store has format {version}; this version of hydra_assets knows format {len(STEPS)}: upgrade it,"
            " or restore a backup"
        )
    if version == len(STEPS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        for step in STEPS[version:]:
            for statement in step.split(";\n"):
                if statement.strip():
                    connection.execute(statement)
        if version < len(STEPS):
            seal_all(connection, sealed=version >= _SEALED)
        connection.execute(f"PRAGMA user_version = {len(STEPS)}")
        connection.execute("COMMIT")
    except BaseException as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if isinstance(error, DamageError):
            raise damaged(path, str(error)) from error
        raise


def in_memory_if_old(connection: sqlite3.Connection) -> sqlite3.Connection:
    """*connection*, or, where its file is of an older version and cannot be migrated, one to a copy in memory that can."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version >= len(STEPS):
        return connection
    copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.backup(copy)
    connection.close()
    return copy
