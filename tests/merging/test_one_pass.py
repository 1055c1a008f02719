"""A merge in one pass is the loop over `add`, in every bit, reads everything once, and is seen when all is well."""

from __future__ import annotations

import collections
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import cmmlib
from cmmlib import ContinualMerger, merge, merge_to
from cmmlib.merging.accumulated import Kept
from cmmlib.methods import Context, get_method, method_names

from ..helpers.models import BASE, QUICK, TASKS, contents, same

OURS = [name for name in method_names() if get_method(name).step.__module__.startswith("cmmlib.methods.")]


def looped(base: Any, models: list, method: str, folder: Path, **params: Any) -> dict[str, bytes]:
    """What ``start``, ``add …``, ``export`` write."""
    ContinualMerger(base, method, **params).save(folder / "state")
    for model in models:
        ContinualMerger.load(folder / "state", base=base).add(model)
    ContinualMerger.load(folder / "state", base=base).export(folder / "looped")
    return contents(folder / "looped")


def without_times(files: dict[str, bytes]) -> dict[str, bytes]:
    """The files, with the model card's column of times cut off."""
    card = files["README.md"].decode().splitlines()
    return files | {"README.md": "\n".join(line.rsplit("|", 2)[0] for line in card).encode()}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("memory", [None, 1], ids=["", "too little memory"])
@pytest.mark.parametrize("reference_compat", [False, True], ids=["", "compat"])
@pytest.mark.parametrize("method", OURS)
def test_one_pass_writes_what_the_loop_writes(method: str, reference_compat: bool, memory: int | None, tmp_path: Path):
    params = {**QUICK.get(method, {}), "reference_compat": reference_compat}
    expected = looped(BASE, TASKS[:3], method, tmp_path, **params)
    merge_to(tmp_path / "out", BASE, TASKS[:3], method=method, memory=memory, **params)
    assert without_times(contents(tmp_path / "out")) == without_times(expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["looped", "out", "state"]
    in_memory = merge(BASE, TASKS[:3], method=method, memory=memory, **params)
    assert same(in_memory, merge(BASE, iter(TASKS[:3]), method=method, **params))


@pytest.mark.parametrize("method", ["task_arithmetic", "opcm", "ties"])
def test_masks_and_layers_in_one_tensor_are_walked_alike(method: str, tmp_path: Path):
    generator = torch.Generator().manual_seed(0)
    mask = torch.full((3, 3), float("-inf")).triu(1)
    base = {"attn.in_proj_weight": torch.randn(12, 4, generator=generator), "mask": mask}

    def tuned() -> dict[str, Tensor]:
        return {**base, "attn.in_proj_weight": base["attn.in_proj_weight"] + torch.randn(12, 4, generator=generator) / 9}

    models = [tuned() for _ in "123"]
    params = {"linear": ["attn.in_proj_weight"]}
    merger = ContinualMerger(base, method, **params)
    for model in models:
        merger.add(model)
    merged = merge(base, models, method=method, **params)
    assert same(merged, merger.merged()) and torch.equal(merged["mask"], mask)
    other = {**models[2], "mask": torch.zeros(3, 3)}
    with pytest.raises(ValueError, match="'mask' holds NaN or infinity"):
        merge(base, [*models[:2], other], method=method, **params)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> collections.Counter[str]:
    """How often each file of weights is read, in tensors."""
    counted: collections.Counter[str] = collections.Counter()
    import cmmlib.models.weights as weights

    real = weights.read_tensor

    def read(path: Path, *rest: Any) -> Tensor:
        counted[path.stem] += 1
        return real(path, *rest)

    monkeypatch.setattr(weights, "read_tensor", read)
    return counted


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("method", "of_the_base"), [("weight_average", 1), ("magmax", 1), ("dop", 1), ("opcm", 2)])
def test_nothing_is_read_twice(method: str, of_the_base: int, reads: collections.Counter[str], tmp_path: Path):
    """But the base, where a scale is known in the end only."""
    merge_to(tmp_path / "out", BASE, TASKS[:3], method=method, **QUICK.get(method, {}))
    tensors = len(load_file(BASE))
    assert reads == {"base": of_the_base * tensors, "task0": tensors, "task1": tensors, "task2": tensors}


def test_all_models_are_checked_before_one_is_read(reads: collections.Counter[str], tmp_path: Path):
    bad = load_file(TASKS[2])
    bad["vision_model.post_layernorm.bias"] = torch.zeros(3)
    save_file(bad, tmp_path / "bad.safetensors")
    with pytest.raises(ValueError, match=r"bad\.safetensors: .*post_layernorm\.bias' has shape \(3,\)"):
        merge_to(tmp_path / "out", BASE, [*TASKS[:2], tmp_path / "bad.safetensors"], method="weight_average")
    assert not reads and not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("method", ["weight_average", "opcm", "ties"])
@pytest.mark.parametrize("fault", ["nan", "base", "repeat"])
def test_what_is_found_on_the_way_leaves_nothing(fault: str, method: str, tmp_path: Path):
    broken = load_file(TASKS[2])
    broken[max(broken)].view(-1)[-1] = float("nan")
    save_file(broken, tmp_path / "broken.safetensors")
    last: Any = {"nan": tmp_path / "broken.safetensors", "base": BASE, "repeat": TASKS[0]}[fault]
    message = {"nan": "holds NaN or infinity", "base": "equals the base", "repeat": "has been merged before, as model 1"}
    with pytest.raises(ValueError, match=message[fault]):
        merge_to(tmp_path / "out", BASE, [*TASKS[:2], last], method=method)
    assert [path.name for path in tmp_path.iterdir()] == ["broken.safetensors"]
    if fault == "repeat":
        merge_to(tmp_path / "out", BASE, [*TASKS[:2], last], method=method, allow_repeat=True)


def test_hashes_are_taken_where_they_are_asked_for(tmp_path: Path):
    merger = ContinualMerger(BASE, "weight_average").add(TASKS[0])
    merger.export(tmp_path / "plain")
    assert (tmp_path / "plain" / "README.md").read_text().count("not taken") == 2
    merger.save(tmp_path / "state")
    assert ContinualMerger.load(tmp_path / "state").standing.models[0]["hash"] is None
    ContinualMerger.load(tmp_path / "state").add(TASKS[0])  # which nobody can recognise
    with pytest.raises(ValueError, match="merged before, as model 2"):
        ContinualMerger.load(tmp_path / "state").add(TASKS[0])
    asked = ContinualMerger(BASE, "weight_average", hashes=True).add(TASKS[0])
    assert asked.standing.models[0]["hash"] == ContinualMerger.load(tmp_path / "state").standing.models[1]["hash"]


def test_a_promise_that_does_not_hold_is_found_out(toy: tuple):
    @cmmlib.method(name="by_norm", separable=True)
    def by_norm(merged: Tensor, task_vector: Tensor, ctx: Context) -> Tensor:
        return merged + task_vector / max(1.0, ctx.running_norm)

    base, models = toy
    with pytest.raises(ValueError, match=r"running_norm is a norm of the whole model, .* registered as separable"):
        merge(base, models, method="by_norm")


def test_a_method_that_promises_nothing_sees_the_norms(toy: tuple):
    @cmmlib.method(name="shrinking")
    def shrinking(merged: Tensor, task_vector: Tensor, ctx: Context) -> Tensor:
        return merged + task_vector / (1 + ctx.running_norm)

    base, models = toy
    assert same(merge(base, models, method="shrinking"), merge(base, iter(models), method="shrinking"))


def test_a_survey_and_the_promise_exclude_each_other():
    with pytest.raises(ValueError, match="a survey sees the whole model, so the method is not separable"):
        cmmlib.method(name="both", separable=True, survey=lambda pairs, ctx: None)(lambda merged, task_vector, ctx: merged)


def test_a_layer_larger_than_the_memory_is_said(tmp_path: Path):
    said = r"'dop' may take \d+ MiB for '.*' alone, more than memory=0 MiB"
    with pytest.warns(UserWarning, match=said):
        merger = ContinualMerger(BASE, "dop", memory=1)
    merger.save(tmp_path / "state")
    with pytest.warns(UserWarning, match=said):
        ContinualMerger.load(tmp_path / "state", base=BASE, memory=1)
    with pytest.raises(ValueError, match="memory: expected a number of bytes, at least 1, got 0"):
        ContinualMerger(BASE, "dop", memory=0)


@pytest.mark.parametrize("limit", [0, 30, 1e9])
def test_kept_tensors_come_back_wherever_they_lie(limit: float, tmp_path: Path):
    kept = Kept(limit, tmp_path)
    values = {"a": torch.arange(6.0), "b": {"x": torch.ones(2, 2), "y": torch.zeros(0)}, "c": torch.tensor(3.0)}
    for _ in range(2):  # the second time over the first
        for key, value in values.items():
            kept.put(key, value)
    assert sorted(kept) == ["a", "b", "c"]
    for key, value in values.items():
        back = kept[key]
        if isinstance(value, Tensor):
            assert torch.equal(back, value)
        else:
            assert same(back, value)
    kept.put("a", torch.arange(9.0))
    assert torch.equal(kept["a"], torch.arange(9.0))
    kept.close()
    assert list(tmp_path.iterdir()) == []  # the file has no name


KILLED = "import sys; from cmmlib.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.parametrize("method", ["weight_average", "opcm", "ties"])
def test_killed_at_any_moment_it_leaves_no_model_and_can_be_done_again(method: str, big: Callable, tmp_path: Path):
    base, models = big(8)
    out = tmp_path / "out"
    arguments = ["merge", "--base", str(base), "--method", method, "--out", str(out), "--linear", "*", *map(str, models)]
    command = [sys.executable, "-W", "ignore", "-c", KILLED, *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    start = time.monotonic()
    subprocess.run(command, check=True, timeout=300, env=environment, capture_output=True)
    whole, expected = time.monotonic() - start, contents(out)
    for share in (0.6, 0.8, 0.9, 0.97):
        shutil.rmtree(out)
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(share * whole)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait(60)
        if not out.exists():
            subprocess.run(command, check=True, timeout=300, env=environment, capture_output=True)
        found = contents(out)
        assert without_times(found) == without_times(expected)
        assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".out")] == []


@pytest.fixture
def big(tmp_path: Path) -> Callable[[int], tuple[Path, list[Path]]]:
    """A base and three models of so many megabytes each."""

    def make(megabytes: int) -> tuple[Path, list[Path]]:
        generator = torch.Generator().manual_seed(0)
        base = {f"layers.{i}.weight": torch.randn(512, 512, generator=generator) for i in range(megabytes)}
        paths = [tmp_path / f"{name}.safetensors" for name in ("base", "one", "two", "three")]
        for number, path in enumerate(paths):
            noise = {name: torch.randn(512, 512, generator=generator) for name in base} if number else {}
            save_file({name: tensor + 0.01 * noise.get(name, 0.0) for name, tensor in base.items()}, path)
        return paths[0], paths[1:]

    return make
