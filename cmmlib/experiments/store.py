"""Scores in one SQLite file: written as they are measured, never measured twice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import astuple
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import pandas as pd

from ..evaluation.score import Score
from .identity import Merged
from .score_file import KEY, make, reading, writing
from .time_left import Pace


class Store(Protocol):
    """The part of `Results` that running a sequence needs; Ray workers, which cannot reach the file, have a stand-in."""

    def get(self, merged: Merged) -> dict[str, Score]: ...

    def get_many(self, models: Iterable[Merged]) -> dict[Merged, dict[str, Score]]: ...

    def put(self, merged: Merged, scores: Mapping[str, Score]) -> None: ...


class Results:
    """The store of scores at ``path``; the file and its folder are made if they do not exist.

    Each `put` is one transaction, so a kill damages nothing, and several processes may write at once.

    Raises:
        ValueError: the file is not a store of scores, or one of another version of cmmlib.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        make(self.path)

    def put(self, merged: Merged, scores: Mapping[str, Score]) -> None:
        """Keep the scores of one model; existing scores stay."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        rows = [(*astuple(merged), task, score.correct, score.images, now) for task, score in scores.items()]
        with writing(self.path) as connection:
            connection.executemany(_NEW_SCORE, rows)

    def get(self, merged: Merged) -> dict[str, Score]:
        """The scores of one model by task; empty if there are none."""
        condition = " AND ".join(f"{name} = ?" for name in KEY)
        with reading(self.path) as connection:
            rows = connection.execute(f"SELECT task, correct, images FROM scores WHERE {condition}", astuple(merged))
            return {task: Score(correct, images) for task, correct, images in rows}

    def get_many(self, models: Iterable[Merged]) -> dict[Merged, dict[str, Score]]:
        """`get` for many models at once."""
        wanted = {astuple(model): model for model in models}
        found: dict[Merged, dict[str, Score]] = {model: {} for model in wanted.values()}
        with reading(self.path) as connection:
            for row in connection.execute(f"SELECT {', '.join(KEY)}, task, correct, images FROM scores"):
                model = wanted.get(row[: len(KEY)])
                if model is not None:
                    found[model][row[-3]] = Score(*row[-2:])
        return found

    def note_sources(self, suite_hash: str, backbone: str, sources: Iterable[Mapping[str, str]]) -> None:
        """Keep the revision of every model and data set that the scores of a suite and backbone come from.

        Args:
            sources: rows with ``kind``, ``id``, ``place`` and ``revision`` (`cmmlib.suites.Suite.sources`).

        Raises:
            ValueError: the store has scores from another revision of one of them; nothing is kept.
        """
        with writing(self.path) as connection:
            for row in sources:
                key = (suite_hash, row["kind"], row["id"])
                query = "SELECT revision FROM sources WHERE (suite_hash, kind, id) = (?, ?, ?)"
                (kept,) = connection.execute(query, key).fetchone() or (row["revision"],)
                if kept != row["revision"]:
                    raise ValueError(
                        f"{self.path} holds scores measured with revision {kept} of {row['id']}, which is now at "
                        f"{row['revision']}: go on with revisions={{{row['id']!r}: {kept!r}}}, or name another store"
                    )
                new = (suite_hash, backbone, row["kind"], row["id"], row["place"], kept)
                connection.execute("INSERT OR IGNORE INTO sources VALUES (?, ?, ?, ?, ?, ?)", new)

    def sources(self, suite_hash: str, backbone: str) -> pd.DataFrame:
        """The rows that `note_sources` kept: columns ``kind``, ``id``, ``place``, ``revision``."""
        query = "SELECT kind, id, place, revision FROM sources WHERE (suite_hash, backbone) = (?, ?) ORDER BY kind, id"
        with reading(self.path) as connection:
            return pd.read_sql_query(query, connection, params=(suite_hash, backbone))

    def absorb(self, other: Results) -> int:
        """Add the scores and sources of another store, for example of a part of the grid that ran elsewhere.

        Returns:
            The number of new scores.

        Raises:
            ValueError: its scores come from another revision of a model or data set; no score is added.
        """
        with reading(other.path) as theirs:
            scores = theirs.execute("SELECT * FROM scores").fetchall()
            sources = theirs.execute("SELECT * FROM sources").fetchall()
        noted: dict[tuple[str, str], list[dict[str, str]]] = {}
        for suite_hash, backbone, *values in sources:
            row = dict(zip(("kind", "id", "place", "revision"), values, strict=True))
            noted.setdefault((suite_hash, backbone), []).append(row)
        for key, rows in noted.items():
            self.note_sources(*key, rows)
        with writing(self.path) as ours:
            before = ours.total_changes
            ours.executemany(_NEW_SCORE, scores)
            return ours.total_changes - before

    def pace(self, suite: str, backbone: str, device: str) -> Pace:
        """What each kind of work has cost so far, for estimates; see `keep_pace`."""
        query = "SELECT kind, amount, seconds FROM pace WHERE (suite, backbone, device) = (?, ?, ?)"
        pace = Pace()
        with reading(self.path) as connection:
            for row in connection.execute(query, (suite, backbone, device)):
                pace.learn(*row)
        return pace

    def keep_pace(self, suite: str, backbone: str, device: str, pace: Pace) -> None:
        """Keep what each kind of work has cost, for later estimates."""
        rows = [(suite, backbone, device, kind, amount, pace.seconds[kind]) for kind, amount in pace.amount.items()]
        with writing(self.path) as connection:
            connection.executemany("INSERT OR REPLACE INTO pace VALUES (?, ?, ?, ?, ?, ?)", rows)

    def frame(self) -> pd.DataFrame:
        """All scores, one row each: the columns of the table, and ``accuracy`` in per cent."""
        with reading(self.path) as connection:
            frame = pd.read_sql_query("SELECT * FROM scores", connection)
        return frame.assign(accuracy=100 * frame["correct"] / frame["images"])


_NEW_SCORE = f"INSERT OR IGNORE INTO scores VALUES ({', '.join('?' * (len(KEY) + 4))})"
