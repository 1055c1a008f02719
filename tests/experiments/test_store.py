"""The store of scores: whole rows, no duplicates, safe against kills and against several writers."""

import multiprocessing
import os
import signal
import sqlite3
import time

import pytest

from cmmlib.evaluation.score import Score
from cmmlib.experiments.identity import Merged, canonical_json
from cmmlib.experiments.store import Results
from cmmlib.experiments.time_left import Pace


def model(number=0, **changes):
    fields = dict(
        suite="s", suite_hash="h", backbone="b", method="m", params="{}", code="c", sequence=canonical_json([number])
    )
    return Merged(**(fields | changes))


def test_scores_come_back_and_the_first_measurement_stays(tmp_path):
    store = Results(tmp_path / "deep" / "scores.sqlite")
    store.put(model(), {"a": Score(3, 4), "b": Score(1, 2)})
    store.put(model(), {"a": Score(0, 4)})
    assert Results(store.path).get(model()) == {"a": Score(3, 4), "b": Score(1, 2)}
    assert store.frame().set_index("task")["accuracy"].to_dict() == {"a": 75.0, "b": 50.0}


@pytest.mark.parametrize("field", ["suite", "suite_hash", "backbone", "method", "params", "code", "sequence"])
def test_every_part_of_the_identity_separates_scores(tmp_path, field):
    store = Results(tmp_path / "scores.sqlite")
    store.put(model(), {"a": Score(3, 4)})
    assert store.get(model(**{field: "other"})) == {}
    assert store.get_many([model(), model(**{field: "other"})])[model()] == {"a": Score(3, 4)}


def test_a_file_that_is_no_store_is_refused_with_its_name(tmp_path):
    path = tmp_path / "scores.sqlite"
    path.write_bytes(b"not a database at all, but long enough to be read as one" * 100)
    with pytest.raises(ValueError, match=r"scores\.sqlite"):
        Results(path)
    other = tmp_path / "older.sqlite"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE scores (x TEXT)")
    with pytest.raises(ValueError, match="another version"):
        Results(other)


def _write(path, numbers, started=None):
    store = Results(path)
    for number in numbers:
        store.put(model(number), {"a": Score(number, 1000), "b": Score(number, 1000)})
        if started is not None:
            started.set()


def test_two_writers_at_once_lose_nothing(tmp_path):
    context = multiprocessing.get_context("spawn")
    path = tmp_path / "scores.sqlite"
    writers = [context.Process(target=_write, args=(path, range(0 + offset, 60 + offset))) for offset in (0, 30)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    frame = Results(path).frame()
    assert len(frame) == 2 * 90 and not frame.duplicated(["sequence", "task"]).any()


def test_a_killed_writer_leaves_whole_models_only(tmp_path):
    context = multiprocessing.get_context("spawn")
    path, started = tmp_path / "scores.sqlite", context.Event()
    writer = context.Process(target=_write, args=(path, range(100_000), started))
    writer.start()
    assert started.wait(60)
    time.sleep(0.1)
    os.kill(writer.pid, signal.SIGKILL)
    writer.join()
    store = Results(path)
    counts = store.frame().groupby("sequence").size()
    assert len(counts) and (counts == 2).all()
    store.put(model(-1), {"a": Score(1, 2)})  # no lock is left behind
    assert store.get(model(-1))


def source(revision):
    return {"kind": "model", "id": "lab/base", "place": "hub", "revision": revision}


def test_sources_are_kept_and_a_moved_one_is_refused(tmp_path):
    store = Results(tmp_path / "scores.sqlite")
    store.note_sources("h", "b", [source("abc")])
    store.note_sources("h", "b", [source("abc")])
    store.note_sources("another suite", "b", [source("def")])
    assert store.sources("h", "b").to_dict("records") == [source("abc")]
    with pytest.raises(ValueError, match=r"scores\.sqlite.*revision abc of lab/base.*now at def.*revisions="):
        store.note_sources("h", "another backbone", [{**source("new"), "id": "lab/first"}, source("def")])
    assert store.sources("h", "b").to_dict("records") == [source("abc")]  # all or nothing


def test_pace_is_kept_per_backbone_and_device(tmp_path):
    store, pace = Results(tmp_path / "scores.sqlite"), Pace()
    pace.learn("OPCM", 2, 3.0)
    store.keep_pace("s", "b", "cpu", pace)
    assert Results(store.path).pace("s", "b", "cpu") == pace
    assert store.pace("s", "b", "cuda") == store.pace("s", "other", "cpu") == Pace()


def test_parts_of_a_grid_that_ran_elsewhere_come_together(tmp_path):
    store, other = Results(tmp_path / "scores.sqlite"), Results(tmp_path / "other.sqlite")
    store.put(model(1), {"a": Score(1, 4)})
    other.put(model(1), {"a": Score(3, 4), "b": Score(2, 4)})
    other.put(model(2), {"a": Score(4, 4)})
    other.note_sources("h", "b", [source("abc")])
    assert store.absorb(other) == 2 and store.absorb(other) == 0
    assert store.get(model(1)) == {"a": Score(1, 4), "b": Score(2, 4)} and store.get(model(2)) == {"a": Score(4, 4)}
    assert store.sources("h", "b").to_dict("records") == [source("abc")]


def test_scores_from_another_revision_are_not_taken_over(tmp_path):
    store, other = Results(tmp_path / "scores.sqlite"), Results(tmp_path / "other.sqlite")
    store.note_sources("h", "b", [source("abc")])
    other.note_sources("h", "b", [source("def")])
    other.put(model(1), {"a": Score(1, 4)})
    with pytest.raises(ValueError, match="another store"):
        store.absorb(other)
    assert store.get(model(1)) == {}
