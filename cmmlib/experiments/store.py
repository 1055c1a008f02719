"""Scores in one SQLite file: written as they are measured, never measured twice."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from ..evaluation.scorer import Score
from .time_left import Pace


@dataclass(frozen=True)
class Merged:
    """What was merged: the identity of a model whose scores are kept.

    Attributes:
        suite, suite_hash: the suite and the hash of its content.
        backbone: name of the backbone.
        method: name of the method, or ``pretrained`` or ``individual``.
        params: all hyper-parameters as canonical JSON.
        code: hash of the code that merged and scored it.
        sequence: names of the models merged, in order, as JSON.
    """

    suite: str
    suite_hash: str
    backbone: str
    method: str
    params: str
    code: str
    sequence: str


def canonical_json(value: Any) -> str:
    """One spelling per value: sorted keys, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


_KEY = [field.name for field in fields(Merged)]
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS scores (
    {", ".join(f"{name} TEXT NOT NULL" for name in _KEY)}, task TEXT NOT NULL,
    correct INTEGER NOT NULL, images INTEGER NOT NULL, measured TEXT NOT NULL,
    PRIMARY KEY ({", ".join(_KEY)}, task)
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


class Results:
    """The store of scores at ``path``; made with its folder when it does not exist.

    Safe against being killed (each `put` is one transaction) and against several processes at once.

    Raises:
        ValueError: the file is not a store of scores.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._connected() as connection:
                connection.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
                columns = [row[1] for row in connection.execute("PRAGMA table_info(scores)")]
        except sqlite3.DatabaseError as error:
            raise ValueError(
                f"{self.path} cannot be used as a store of scores ({error}); remove it or name another"
            ) from None
        if columns[: len(_KEY)] != _KEY:
            raise ValueError(f"{self.path} is a store of another version of cmmlib; remove it or name another")

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        # No WAL: it does not work on network file systems.  BEGIN is ours to say, so that a writer takes its lock first.
        connection = sqlite3.connect(self.path, timeout=120, isolation_level=None)
        try:
            yield connection
        finally:
            connection.close()

    def put(self, merged: Merged, scores: Mapping[str, Score]) -> None:
        """Keep the scores of one model; those that are there already stay."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        rows = [(*astuple(merged), task, score.correct, score.images, now) for task, score in scores.items()]
        marks = ", ".join("?" * len(rows[0])) if rows else ""
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(f"INSERT OR IGNORE INTO scores VALUES ({marks})", rows)
            connection.execute("COMMIT")

    def get(self, merged: Merged) -> dict[str, Score]:
        """The scores of one model, by task."""
        condition = " AND ".join(f"{name} = ?" for name in _KEY)
        with self._connected() as connection:
            rows = connection.execute(f"SELECT task, correct, images FROM scores WHERE {condition}", astuple(merged))
            return {task: Score(correct, images) for task, correct, images in rows}

    def get_many(self, models: Iterable[Merged]) -> dict[Merged, dict[str, Score]]:
        """`get` for many models at once."""
        wanted = {astuple(model): model for model in models}
        found: dict[Merged, dict[str, Score]] = {model: {} for model in wanted.values()}
        with self._connected() as connection:
            for row in connection.execute(f"SELECT {', '.join(_KEY)}, task, correct, images FROM scores"):
                model = wanted.get(row[: len(_KEY)])
                if model is not None:
                    found[model][row[-3]] = Score(*row[-2:])
        return found

    def note_sources(self, suite_hash: str, backbone: str, sources: Iterable[Mapping[str, str]]) -> None:
        """Keep which revision of every model and data set the scores of a suite and backbone come from.

        Args:
            sources: rows with ``kind``, ``id``, ``place`` and ``revision`` (`cmmlib.suites.Suite.sources`).

        Raises:
            ValueError: scores from another revision of one of them are here already.
        """
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            for row in sources:
                key = (suite_hash, row["kind"], row["id"])
                query = "SELECT revision FROM sources WHERE (suite_hash, kind, id) = (?, ?, ?)"
                (kept,) = connection.execute(query, key).fetchone() or (row["revision"],)
                if kept != row["revision"]:
                    connection.execute("ROLLBACK")
                    raise ValueError(
                        f"{self.path} holds scores measured with revision {kept} of {row['id']}, which is now at "
                        f"{row['revision']}: go on with revisions={{{row['id']!r}: {kept!r}}}, or name another store"
                    )
                new = (suite_hash, backbone, row["kind"], row["id"], row["place"], kept)
                connection.execute("INSERT OR IGNORE INTO sources VALUES (?, ?, ?, ?, ?, ?)", new)
            connection.execute("COMMIT")

    def sources(self, suite_hash: str, backbone: str) -> pd.DataFrame:
        """What `note_sources` kept: ``kind``, ``id``, ``place``, ``revision``."""
        query = "SELECT kind, id, place, revision FROM sources WHERE (suite_hash, backbone) = (?, ?) ORDER BY kind, id"
        with self._connected() as connection:
            return pd.read_sql_query(query, connection, params=(suite_hash, backbone))

    def absorb(self, other: Results) -> int:
        """Take over the scores and sources of another store, as of a part of the grid that ran elsewhere.

        Returns:
            the number of scores that were not here yet.

        Raises:
            ValueError: the other's come from another revision of a model or data set; nothing is taken over.
        """
        with other._connected() as theirs:
            scores = theirs.execute("SELECT * FROM scores").fetchall()
            sources = theirs.execute("SELECT * FROM sources").fetchall()
        noted: dict[tuple[str, str], list[dict[str, str]]] = {}
        for suite_hash, backbone, *row in sources:
            row = dict(zip(("kind", "id", "place", "revision"), row, strict=True))
            noted.setdefault((suite_hash, backbone), []).append(row)
        for key, rows in noted.items():
            self.note_sources(*key, rows)
        with self._connected() as ours:
            ours.execute("BEGIN IMMEDIATE")
            before = ours.total_changes
            ours.executemany(f"INSERT OR IGNORE INTO scores VALUES ({', '.join('?' * (len(_KEY) + 4))})", scores)
            taken = ours.total_changes - before
            ours.execute("COMMIT")
        return taken

    def pace(self, suite: str, backbone: str, device: str) -> Pace:
        """What each kind of work has cost so far, for estimates."""
        query = "SELECT kind, amount, seconds FROM pace WHERE (suite, backbone, device) = (?, ?, ?)"
        pace = Pace()
        with self._connected() as connection:
            for row in connection.execute(query, (suite, backbone, device)):
                pace.learn(*row)
        return pace

    def keep_pace(self, suite: str, backbone: str, device: str, pace: Pace) -> None:
        """Keep for the next estimate what `pace` gives."""
        rows = [(suite, backbone, device, kind, amount, pace.seconds[kind]) for kind, amount in pace.amount.items()]
        with self._connected() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT OR REPLACE INTO pace VALUES (?, ?, ?, ?, ?, ?)", rows)
            connection.execute("COMMIT")

    def frame(self) -> pd.DataFrame:
        """All scores: one row per score, with ``accuracy`` in per cent."""
        with self._connected() as connection:
            frame = pd.read_sql_query("SELECT * FROM scores", connection)
        return frame.assign(accuracy=100 * frame["correct"] / frame["images"])
