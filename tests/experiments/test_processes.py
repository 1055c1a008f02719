"""Local worker processes: an error ends them at once, Ctrl-C too, and none is left."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cmmlib.experiments.processes import sequences_in_processes
from cmmlib.experiments.runs import plan
from cmmlib.experiments.store import Results
from cmmlib.experiments.time_left import SCORING
from cmmlib.suites import load_suite

ROOT = Path(__file__).resolve().parents[2]


def test_an_error_in_the_block_ends_the_processes_at_once_and_leaves_others_alone(tmp_path):
    suite, store = load_suite("mini"), Results(tmp_path / "scores.sqlite")
    runs = plan({"DOP": ("dop", {"num_steps": 100_000})}, 3, [40, 41], every_step=True)  # of hours
    other = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600,), daemon=True)
    other.start()
    try:
        with (
            pytest.raises(RuntimeError, match="no luck"),
            sequences_in_processes(suite, suite.backbones[0], runs, store, 2, "cpu") as (jobs, submit, done),
        ):
            for run in runs:
                submit(run)
            for _ in runs:  # its first model is scored; now it merges
                assert done.get()[0] == SCORING
            assert jobs == len(set(multiprocessing.active_children()) - {other}) == 2
            began = time.monotonic()
            raise RuntimeError("no luck")
        assert time.monotonic() - began < 30
        assert multiprocessing.active_children() == [other]
    finally:
        other.terminate()
        other.join()


SCRIPT = """
import signal
import sys
from cmmlib.experiments import Results, plan, run_grid
from cmmlib.suites import load_suite

signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background is started with SIGINT ignored

if __name__ == "__main__":
    suite = load_suite("mini")
    rows = {"DOP": ("dop", {"num_steps": 100_000})}
    run_grid(suite, suite.backbones[0], plan(rows, 3, [40, 41], every_step=True), Results(sys.argv[1]), jobs=2)
"""


def test_ctrl_c_ends_a_grid_at_once_and_leaves_no_process_behind(tmp_path):
    script, path = tmp_path / "grid.py", tmp_path / "scores.sqlite"
    script.write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, script, path], env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    store, deadline = Results(path), time.monotonic() + 240
    while len(store.frame()) < 8 and time.monotonic() < deadline:  # the bounds, and a first model on the tasks to come
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to the workers too
    try:
        _, error = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode != 0 and "KeyboardInterrupt" in error
    deadline = time.monotonic() + 30
    while left := subprocess.run(["pgrep", "-g", str(process.pid)], capture_output=True, text=True).stdout.strip():
        assert time.monotonic() < deadline, f"orphaned workers: {left}"
        time.sleep(0.1)
