"""The grid on the mini suite: the same numbers with any number of jobs, nothing lost when killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import cmmlib
from cmmlib.evaluation.scorer import ZeroShotScorer
from cmmlib.experiments.frames import accuracies, reference_accuracies
from cmmlib.experiments.grid import run_grid
from cmmlib.experiments.runs import plan
from cmmlib.experiments.sequence import run_sequence
from cmmlib.experiments.store import Results
from cmmlib.suites import load_suite

ROWS = {"OPCM": ("opcm", {}), "MagMax": ("magmax", {}), "DOP-exact": ("dop", {"solver": "exact"})}
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def suite():
    return load_suite("mini")


@pytest.fixture(scope="module")
def expected(suite, tmp_path_factory):
    """The scores of a grid that nobody disturbed, in two workers."""
    store = Results(tmp_path_factory.mktemp("whole") / "scores.sqlite")
    runs = plan(ROWS, 3, [40, 41], every_step=True)
    run_grid(suite, suite.backbones[0], runs, store, jobs=2)
    return runs, accuracies(suite, suite.backbones[0], runs, store), store


def test_workers_find_what_one_process_finds(suite, expected, tmp_path):
    runs, scores, _ = expected
    store = Results(tmp_path / "scores.sqlite")
    scorer = ZeroShotScorer(suite, suite.backbones[0])
    run_sequence(suite, suite.backbones[0], runs[0], store, scorer)
    again = accuracies(suite, suite.backbones[0], runs[:1], store)
    same = scores[(scores.label == runs[0].label) & (scores.seed == runs[0].seed)].reset_index(drop=True)
    assert again.equals(same)


def test_bounds_are_measured_with_the_grid(suite, expected):
    _, _, store = expected
    bounds = reference_accuracies(suite, suite.backbones[0], 3, store)
    assert list(bounds.index) == list(suite.task_names(3))
    assert (bounds["individual"] > bounds["pretrained"] + 10).all()


def test_a_method_of_this_process_alone_runs_here(suite, tmp_path, monkeypatch):
    def newest(merged, task_vector, ctx):
        return task_vector

    newest.__module__ = "__main__"  # as in a notebook
    cmmlib.method(newest, paper="")
    store = Results(tmp_path / "scores.sqlite")
    runs = plan({"Newest": ("newest", {})}, 2, [40])
    run_grid(suite, suite.backbones[0], runs, store, jobs=2)
    frame = accuracies(suite, suite.backbones[0], runs, store)
    individual = reference_accuracies(suite, suite.backbones[0], 2, store)["individual"]
    last = frame[(frame.step == 2) & (frame.position == 2)].iloc[0]
    assert last["accuracy"] == individual[last["task"]]


SCRIPT = """
import sys
from cmmlib.experiments.grid import run_grid
from cmmlib.experiments.runs import plan
from cmmlib.experiments.store import Results
from cmmlib.suites import load_suite

if __name__ == "__main__":
    suite = load_suite("mini")
    rows = {label: (method, params) for label, (method, params) in ROWS.items()}
    run_grid(suite, suite.backbones[0], plan(rows, 3, [40, 41], every_step=True), Results(sys.argv[1]), jobs=2)
"""


def test_a_killed_grid_goes_on_and_leaves_no_process_behind(suite, expected, tmp_path):
    runs, scores, _ = expected
    script, path = tmp_path / "grid.py", tmp_path / "scores.sqlite"
    script.write_text(f"ROWS = {ROWS!r}\n{SCRIPT}")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, script, path], env=environment, stderr=subprocess.DEVNULL, start_new_session=True
    )
    store, deadline = Results(path), time.monotonic() + 240
    while len(store.frame()) < 12 and time.monotonic() < deadline:  # the bounds, and the first scores of sequences
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = len(store.frame())
    while (
        subprocess.run(["pgrep", "-g", str(process.pid)], capture_output=True).stdout.strip() and time.monotonic() < deadline
    ):
        time.sleep(0.1)
    assert not subprocess.run(["pgrep", "-g", str(process.pid)], capture_output=True).stdout.strip(), "orphaned workers"
    run_grid(suite, suite.backbones[0], runs, store, jobs=2)
    assert accuracies(suite, suite.backbones[0], runs, store).equals(scores)
    assert kept >= 12 and len(store.frame()) > kept
