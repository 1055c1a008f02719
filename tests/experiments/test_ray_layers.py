"""The layers of a merge on Ray: the same bits, also when a worker is killed, and from the command line."""

import os
import signal
import warnings
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from cmmlib import ContinualMerger
from cmmlib.cli import main
from cmmlib.experiments.ray_layers import RayLayers
from cmmlib.methods import get_method
from cmmlib.methods.registry import register
from cmmlib.suites import load_suite


def test_fewer_than_one_actor_is_refused():
    with pytest.raises(ValueError, match="num_actors: expected at least 1, got 0"):
        RayLayers(0)


@pytest.mark.usefixtures("ray_here")
def test_on_ray_a_killed_worker_is_replaced_and_every_bit_is_the_serial_run_s(tmp_path):
    doomed = tmp_path / "killed in a layer"

    def opcm_in_a_worker_that_is_killed_once(merged, task_vector, ctx):
        assert torch.get_num_threads() == 1
        if ctx.t == 2 and ctx.kind == "linear" and not doomed.exists():
            doomed.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return opcm.step(merged, task_vector, ctx)

    opcm, suite = get_method("opcm"), load_suite("mini")
    backbone = suite.backbones[0]
    opcm_in_a_worker_that_is_killed_once.__module__ = "__main__"  # as in a notebook
    register(replace(opcm, name="doomed", step=opcm_in_a_worker_that_is_killed_once))
    with warnings.catch_warnings(record=True) as warned, RayLayers(2) as layers:
        warnings.simplefilter("always")
        there = ContinualMerger(suite.base(backbone), "doomed", apply_step=layers)
        here = ContinualMerger(suite.base(backbone), "opcm")
        for task in suite.task_names(3):
            for merger in (there, here):
                merger.add(suite.checkpoint(backbone, task))
    assert doomed.exists() and any("worker died; it is replaced" in str(warning.message) for warning in warned)
    arguments = ["merge", "--base", suite.base(backbone), "--out", str(tmp_path / "merged"), "--actors", "2"]
    assert main([*arguments, *(suite.checkpoint(backbone, task) for task in suite.task_names(3))]) == 0
    written = load_file(tmp_path / "merged" / "model.safetensors")
    assert all(torch.equal(tensor, written[name]) for name, tensor in here.merged().items())
    ours = there.merged()
    assert all(torch.equal(tensor, ours[name]) for name, tensor in here.merged().items())
