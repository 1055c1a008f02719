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

from .evaluate import Score


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
) WITHOUT ROWID
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
                connection.execute("BEGIN IMMEDIATE")
                connection.execute(_SCHEMA)
                connection.execute("COMMIT")
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

    def frame(self) -> pd.DataFrame:
        """All scores: one row per score, with ``accuracy`` in per cent."""
        with self._connected() as connection:
            frame = pd.read_sql_query("SELECT * FROM scores", connection)
        return frame.assign(accuracy=100 * frame["correct"] / frame["images"])
