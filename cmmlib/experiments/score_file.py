"""The SQLite file of scores: its tables, and reading and writing it safely from several processes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

from .identity import Merged

KEY = [field.name for field in fields(Merged)]
"""The columns that identify a model, the first of the table ``scores``."""

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS scores (
    {", ".join(f"{name} TEXT NOT NULL" for name in KEY)}, task TEXT NOT NULL,
    correct INTEGER NOT NULL, images INTEGER NOT NULL, measured TEXT NOT NULL,
    PRIMARY KEY ({", ".join(KEY)}, task)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sources (
    suite_hash TEXT NOT NULL, backbone TEXT NOT NULL,
    kind TEXT NOT NULL, id TEXT NOT NULL, place TEXT NOT NULL, revision TEXT NOT NULL,
    PRIMARY KEY (suite_hash, backbone, kind, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pace (
    suite TEXT NOT NULL, backbone TEXT NOT NULL, device TEXT NOT NULL, kind TEXT NOT NULL,
    amount REAL NOT NULL, seconds REAL NOT NULL, PRIMARY KEY (suite, backbone, device, kind)
) WITHOUT ROWID;
"""


def make(path: Path) -> None:
    """Make the file and its folder if they do not exist.

    Raises:
        ValueError: the file is not a store of scores, or one of another version of cmmlib.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with reading(path) as connection:
            connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
            columns = [row[1] for row in connection.execute("PRAGMA table_info(scores)")]
    except sqlite3.DatabaseError as error:
        raise ValueError(f"{path} cannot be used as a store of scores ({error}); remove it or name another") from None
    if columns[: len(KEY)] != KEY:
        raise ValueError(f"{path} is a store of another version of cmmlib; remove it or name another")


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection in autocommit mode, closed when the block ends."""
    # No WAL: it does not work on network file systems.  Without implicit transactions, `writing` takes its lock first.
    connection = sqlite3.connect(path, timeout=120, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection in one transaction: the block's changes are all kept, or none after an exception."""
    with reading(path) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")
