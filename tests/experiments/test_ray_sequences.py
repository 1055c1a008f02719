"""The grid on Ray: the same bits, nothing lost when a worker is killed."""

import os
import signal
import warnings

import pytest
import torch

import cmmlib
from cmmlib.evaluation.score import Score
from cmmlib.evaluation.scorer import ZeroShotScorer
from cmmlib.experiments.frames import accuracies
from cmmlib.experiments.grid import run_grid
from cmmlib.experiments.identity import identity
from cmmlib.experiments.ray_sequences import Known, SequenceWorker, room
from cmmlib.experiments.runs import plan
from cmmlib.experiments.sequence import run_references, run_sequence
from cmmlib.experiments.store import Results
from cmmlib.methods import get_method
from cmmlib.suites import load_suite


def test_a_stand_in_for_the_store_knows_what_it_is_given_and_tells_only_what_is_new():
    suite = load_suite("mini")
    run = plan({"OPCM": ("opcm", {})}, 2, [40])[0]
    first, second = (identity(suite, suite.backbones[0], run, step) for step in (1, 2))
    told = []
    store = Known({first: {"a": Score(1, 2)}, second: {}}, lambda *scores: told.append(scores))
    store.put(second, {"b": Score(3, 4)})
    assert told == [(second, {"b": Score(3, 4)})]
    assert store.get_many([first, second]) == {first: {"a": Score(1, 2)}, second: {"b": Score(3, 4)}}
    store.put(second, {"a": Score(1, 4), "b": Score(0, 4)})
    assert store.get(second) == {"a": Score(1, 4), "b": Score(3, 4)}, "what is there stays, as in the store"


def test_a_sequence_gives_through_the_stand_in_what_the_store_lacks(tmp_path):
    suite, store = load_suite("mini"), Results(tmp_path / "scores.sqlite")
    run = plan({"Weight average": ("weight_average", {})}, 2, [40])[0]
    models = [identity(suite, suite.backbones[0], run, step) for step in (1, 2)]
    run_sequence(suite, suite.backbones[0], run, store, ZeroShotScorer(suite, suite.backbones[0]))
    whole = store.get_many(models)
    known = {models[0]: whole[models[0]], models[1]: dict(list(whole[models[1]].items())[:1])}
    worker = SequenceWorker(suite, suite.backbones[0], "cpu")
    told = [content for what, content in worker.run(run, get_method("weight_average"), known) if what == "scores"]
    assert told == [(models[1], dict(list(whole[models[1]].items())[1:]))]


def test_jobs_beyond_the_gpus_share_them_in_equal_parts():
    assert [room(jobs, 2, "cuda")["num_gpus"] for jobs in (1, 2, 3, 4, 8)] == [1, 1, 0.5, 0.5, 0.25]
    assert room(4, 2, "cpu") == {"num_cpus": 1}


@pytest.mark.usefixtures("ray_here")
def test_on_ray_a_killed_worker_is_replaced_and_every_bit_is_the_serial_run_s(tmp_path):
    killed = tmp_path / "killed in a sequence"

    def fragile(merged, task_vector, ctx):  # the weight average, in a worker that is killed once
        assert torch.get_num_threads() == 1
        if ctx.t == 3 and not killed.exists():
            killed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return merged + (task_vector - merged) / ctx.t

    suite = load_suite("mini")
    backbone = suite.backbones[0]
    fragile.__module__ = "__main__"  # as in a notebook
    cmmlib.method(fragile)
    rows = {"OPCM": ("opcm", {}), "DOP-exact": ("dop", {"solver": "exact"}), "Weight average": ("weight_average", {})}
    runs = plan({**rows, "Fragile": ("fragile", {})}, 3, [40, 41], every_step=True)
    serial, store = Results(tmp_path / "serial.sqlite"), Results(tmp_path / "ray.sqlite")
    scorer = ZeroShotScorer(suite, backbone)
    run_references(suite, backbone, 3, serial, scorer)
    for run in runs[:3] + runs[4:7]:
        run_sequence(suite, backbone, run, serial, scorer)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        run_grid(suite, backbone, runs, store, jobs=2, ray="local")
    assert killed.exists() and any("worker died; it is replaced" in str(warning.message) for warning in warned)
    plain = [run for run in runs if run.label != "Fragile"]
    expected = accuracies(suite, backbone, plain, serial)
    assert accuracies(suite, backbone, plain, store).equals(expected)
    averaged = expected[expected.label == "Weight average"].assign(label="Fragile").reset_index(drop=True)
    assert accuracies(suite, backbone, [run for run in runs if run.label == "Fragile"], store).equals(averaged)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = store.frame()
        run_grid(suite, backbone, runs, store, jobs=2, ray="an address that nobody asks for, as all is done")
        assert store.frame().equals(before)
