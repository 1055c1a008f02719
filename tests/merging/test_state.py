"""A merge that lives in a folder: it goes on bit for bit, and a refusal leaves every byte as it was."""

from __future__ import annotations

import copy
import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from cmmlib import ContinualMerger, merge
from cmmlib.merging.accumulated import OnDiskDraft
from cmmlib.merging.state_folder import StateFolder, StateInUse
from cmmlib.methods import registry

GOLDEN = Path(__file__).parents[1] / "golden"
BASE, TASKS = GOLDEN / "base.safetensors", [GOLDEN / f"task{i}.safetensors" for i in range(4)]
METHODS = {
    "weight_average": {},
    "task_arithmetic": {},
    "ties": {},
    "magmax": {},
    "opcm": {},
    "dop": {"solver": "exact", "exclude_keys": ("encoder.layers.0.mlp.fc1",)},
}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return list(one) == list(other) and all(torch.equal(one[key], other[key]) for key in one)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A state into which one model has been merged."""
    ContinualMerger(BASE, "opcm").add(TASKS[0]).save(tmp_path / "state")
    return tmp_path / "state"


# ---------------------------------------------------------------------------------------------- going on


@pytest.mark.parametrize("method", METHODS)
def test_going_on_is_bit_for_bit_what_one_process_gives(method: str, tmp_path: Path):
    params = METHODS[method]
    alone = ContinualMerger(BASE, method, **params)
    ContinualMerger(BASE, method, **params).save(tmp_path / "state")
    for number, task in enumerate(TASKS, 1):
        alone.add(task)
        ContinualMerger.load(tmp_path / "state").add(task)
        loaded = ContinualMerger.load(tmp_path / "state")
        assert same(loaded.merged(), alone.merged()) and len(loaded) == number
        assert sorted(p.name for p in (tmp_path / "state").iterdir()) == [
            "lock",
            f"running-{number}.safetensors",
            "state.json",
        ]
    seconds = ["read_seconds", "merge_seconds"]
    assert loaded.history.drop(columns=seconds).equals(alone.history.drop(columns=seconds))
    assert loaded.params == alone.params


def test_a_new_process_gives_the_same_bits(tmp_path: Path):
    ContinualMerger(BASE, "opcm", alpha=0.4).save(tmp_path / "state")
    script = "import sys; from cmmlib.cli.main import main; sys.exit(main(sys.argv[1:]))"
    threads = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    for task in TASKS[:3]:
        subprocess.run([sys.executable, "-c", script, "add", tmp_path / "state", task], check=True, env=threads)
    expected = ContinualMerger(BASE, "opcm", alpha=0.4)
    for task in TASKS[:3]:
        expected.add(task)
    assert same(ContinualMerger.load(tmp_path / "state").merged(), expected.merged())


def test_a_merger_goes_on_in_memory_after_it_was_saved(tmp_path: Path):
    merger = ContinualMerger(BASE, "ties").add(TASKS[0])
    merger.save(tmp_path / "state")
    before = contents(tmp_path / "state")
    merger.add(TASKS[1])
    assert contents(tmp_path / "state") == before
    assert same(merger.merged(), ContinualMerger.load(tmp_path / "state").add(TASKS[1]).merged())


def test_transposed_weights_go_on_bit_for_bit(tmp_path: Path):
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    gpt = GPT2LMHeadModel(GPT2Config(n_embd=8, n_layer=1, n_head=2, n_positions=6, vocab_size=11))
    gpt.save_pretrained(tmp_path / "base")
    base = load_file(tmp_path / "base" / "model.safetensors")
    models = [{key: x + 0.1 * torch.randn_like(x) for key, x in base.items()} for _ in range(3)]
    alone = ContinualMerger(tmp_path / "base", "opcm")
    alone.save(tmp_path / "state")
    for model in models:
        alone.add(model)
        ContinualMerger.load(tmp_path / "state").add(model)
    assert same(ContinualMerger.load(tmp_path / "state").merged(), alone.merged())


def test_a_method_of_several_tensors_goes_on_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(registry, "_METHODS", dict(registry._METHODS))

    @registry.method(finish=lambda value, ctx: value["sum"] / ctx.t + value["rows"].unsqueeze(-1))
    def parted(merged, task_vector, ctx):
        old = merged if ctx.t > 1 else {"sum": merged, "rows": merged.sum(-1)}
        return {"sum": old["sum"] + task_vector, "rows": old["rows"] + 0.01 * task_vector.sum(-1)}

    torch.manual_seed(0)
    base = {"a": torch.randn(3, 4), "b": torch.randn(5, 2)}
    models = [{key: x + 0.01 * torch.randn_like(x) for key, x in base.items()} for _ in range(3)]
    alone = ContinualMerger(base, "parted")
    alone.save(tmp_path / "state")
    for model in models:
        alone.add(model)
        ContinualMerger.load(tmp_path / "state", base=base).add(model)
    assert same(ContinualMerger.load(tmp_path / "state", base=base).merged(), alone.merged())


def test_a_method_may_keep_several_tensors_per_parameter(tmp_path: Path):
    draft = OnDiskDraft(tmp_path / "running-1.safetensors", ["a", "b"])
    draft.put("a", {"p": torch.ones(2, 2), "q": torch.zeros(3)})
    draft.put("b", torch.ones(1))
    stored = draft.close()
    assert set(load_file(draft.path)) == {"a::p", "a::q", "b"}
    assert stored["a"].keys() == {"p", "q"} and torch.equal(stored["a"]["p"], torch.ones(2, 2))
    assert torch.equal(stored["b"], torch.ones(1))


def test_a_base_in_memory_is_given_again_on_loading(tmp_path: Path):
    base = load_file(BASE)
    linear = ["*_proj.weight", "*.fc?.weight"]
    ContinualMerger(base, "opcm", linear=linear).save(tmp_path / "state")
    with pytest.raises(ValueError, match="was started from a base in memory; give it"):
        ContinualMerger.load(tmp_path / "state")
    loaded = ContinualMerger.load(tmp_path / "state", base=base).add(TASKS[0]).add(TASKS[1])
    assert same(loaded.merged(), merge(base, TASKS[:2], method="opcm", linear=linear))


def test_a_base_that_moved_is_found_where_it_is_said_to_be(tmp_path: Path):
    (tmp_path / "old.safetensors").write_bytes(BASE.read_bytes())
    ContinualMerger(tmp_path / "old.safetensors", "magmax").add(TASKS[0]).save(tmp_path / "state")
    (tmp_path / "old.safetensors").rename(tmp_path / "new.safetensors")
    with pytest.raises(FileNotFoundError, match=r"old\.safetensors.*say where it is now"):
        ContinualMerger.load(tmp_path / "state")
    merger = ContinualMerger.load(tmp_path / "state", base=tmp_path / "new.safetensors")
    assert same(merger.merged(), merge(BASE, TASKS[:1], method="magmax"))


# ---------------------------------------------------------------------------------------------- what the folder says


def test_the_json_holds_what_is_needed_to_know_what_this_is(begun: Path):
    record = json.loads((begun / "state.json").read_text())
    assert record["method"] == "opcm" and record["parameters"] == {"alpha": 0.5, "zero_diagonal": True}
    assert record["base"]["source"] == str(BASE) and len(record["base"]["hash"]) == 64
    (model,) = record["models"]
    assert model["name"] == "task0" and model["source"] == str(TASKS[0]) and model["time"].endswith("+00:00")
    assert model["history"]["task_vector_norm"] == pytest.approx(0.81026, abs=1e-5)
    assert "encoder.layers.0.mlp.fc1.weight" in record["layers"]["linear"]
    assert record["running"] == "running-1.safetensors" and record["torch"] == torch.__version__


def test_the_content_hash_does_not_depend_on_the_container(tmp_path: Path):
    tensors = load_file(TASKS[0])
    bare = {key.removeprefix("vision_model."): tensors[key] for key in reversed(tensors)}
    save_file(bare, tmp_path / "bare.safetensors")
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    ContinualMerger(BASE, "weight_average").save(tmp_path / "state")
    merger = ContinualMerger.load(tmp_path / "state").add(TASKS[0])
    for other in (tmp_path / "bare.safetensors", tmp_path / "pytorch_model.bin", bare):
        with pytest.raises(ValueError, match="has been merged before, as model 1, 'task0'"):
            merger.add(other)
    assert len(merger.add(bare, allow_repeat=True)) == 2


def test_transformers_is_not_imported_to_add(begun: Path):
    script = (
        "import sys; from cmmlib import ContinualMerger; "
        "ContinualMerger.load(sys.argv[1]).add(sys.argv[2]); "
        "print([name for name in ('transformers', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script, begun, TASKS[1]], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_leftovers_are_swept_on_opening_and_nothing_else(begun: Path):
    for name in ("running-2.safetensors", ".running-2.safetensors.tmp", ".state.json.tmp", "notes.txt"):
        (begun / name).write_text("x")
    ContinualMerger.load(begun)
    assert sorted(path.name for path in begun.iterdir()) == ["lock", "notes.txt", "running-1.safetensors", "state.json"]


# ---------------------------------------------------------------------------------------------- refusals

Fault = Callable[[Path, Path], object]  # (state, scratch) → the model to add


def _changed(edit: Callable[[dict[str, Tensor]], object]) -> Fault:
    def make(_: Path, scratch: Path) -> Path:
        tensors = load_file(TASKS[1])
        edit(tensors)
        save_file(tensors, scratch / "bad.safetensors")
        return scratch / "bad.safetensors"

    return make


def _cut(_: Path, scratch: Path) -> Path:
    (scratch / "bad.safetensors").write_bytes(TASKS[1].read_bytes()[:-100])
    return scratch / "bad.safetensors"


def _edited(**changes: object) -> Fault:
    def make(folder: Path, _: Path) -> Path:
        record = json.loads((folder / "state.json").read_text())
        (folder / "state.json").write_text(json.dumps(record | changes))
        return TASKS[1]

    return make


def _flipped(folder: Path, _: Path) -> Path:
    path = folder / "running-1.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    return TASKS[1]


def _broken_json(folder: Path, _: Path) -> Path:
    (folder / "state.json").write_text('{"format"')
    return TASKS[1]


def _lost(folder: Path, _: Path) -> Path:
    (folder / "running-1.safetensors").unlink()
    return TASKS[1]


BIAS, WEIGHT = "vision_model.encoder.layers.0.mlp.fc1.bias", "vision_model.encoder.layers.0.mlp.fc1.weight"
REFUSALS: dict[str, tuple[Fault, str]] = {
    "missing": (_changed(lambda t: t.pop(BIAS)), r"bad\.safetensors lacks '.*fc1\.bias'"),
    "extra": (
        _changed(lambda t: t.update({"vision_model.head": torch.ones(2)})),
        r"and the base has not, 'vision_model\.head'",
    ),
    "shape": (_changed(lambda t: t.update({BIAS: t[BIAS][:-1].clone()})), r"bad\.safetensors: '.*fc1\.bias' has shape"),
    "nan": (_changed(lambda t: t[WEIGHT].fill_(float("nan"))), r"bad\.safetensors: '.*fc1\.weight' holds NaN"),
    "inf": (
        _changed(lambda t: t[WEIGHT][0].fill_(float("inf"))),
        r"bad\.safetensors: '.*fc1\.weight' holds NaN or infinity",
    ),
    "integers": (_changed(lambda t: t.update({WEIGHT: t[WEIGHT].to(torch.int8)})), r"'.*fc1\.weight' has integer"),
    "truncated": (_cut, r"bad\.safetensors is not a valid safetensors file .*fetch it again"),
    "repeated": (lambda *_: TASKS[0], r"task0\.safetensors has been merged before, as model 1, 'task0'.*--allow-repeat"),
    "the base": (lambda *_: BASE, "equals the base"),
    "no model": (lambda _, scratch: scratch / "nosuch", "no such file or folder"),
    "version": (_edited(version=2, cmmlib="9.1"), r"state\.json is a state of version 2, this cmmlib reads version 1.*9\.1"),
    "no state": (_edited(format="x"), r"state\.json is not the state of a merge"),
    "elsewhere": (_edited(running="../running-1.safetensors"), r"state\.json is damaged \('running' names no generation"),
    "broken": (_broken_json, r"state\.json is damaged .*restore the state from a backup"),
    "flipped bit": (_flipped, r"running-1\.safetensors: '.*' is damaged \(its checksum differs\)"),
    "lost": (_lost, r"running-1\.safetensors is missing"),
}


@pytest.mark.parametrize("fault", REFUSALS)
def test_a_refusal_says_why_and_changes_no_byte(fault: str, begun: Path, tmp_path: Path):
    make, message = REFUSALS[fault]
    model = make(begun, tmp_path)
    before = contents(begun)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        ContinualMerger.load(begun).add(model)
    assert contents(begun) == before


def test_another_base_is_refused_by_content_and_by_shape(begun: Path, tmp_path: Path):
    changed = load_file(BASE)
    changed[BIAS] += 1e-6
    save_file(changed, tmp_path / "almost.safetensors")
    save_file({"w": torch.ones(2)}, tmp_path / "other.safetensors")
    before = contents(begun)
    merger = ContinualMerger.load(begun, base=tmp_path / "almost.safetensors")
    for attempt in (lambda: merger.add(TASKS[1]), merger.merged, lambda: merger.export(tmp_path / "out")):
        with pytest.raises(
            ValueError, match=r"almost\.safetensors is not the base that this state was started from .*--base"
        ):
            attempt()
    with pytest.raises(ValueError, match=r"other\.safetensors is not the base"):
        ContinualMerger.load(begun, base=tmp_path / "other.safetensors")
    assert contents(begun) == before and not (tmp_path / "out").exists()


def test_a_model_of_another_base_is_warned_of_with_the_figures(begun: Path):
    torch.manual_seed(0)
    stranger = {key: x.std() * torch.randn_like(x) for key, x in load_file(BASE).items()}
    with pytest.warns(UserWarning, match=r"implausibly far from .*‖τ‖ = .*, ‖W0‖ = .*, ratio 1\.\d\d"):
        ContinualMerger.load(begun).add(stranger)


def test_no_disk_space_is_said_before_and_survived_during(begun: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    before = contents(begun)
    with monkeypatch.context() as patch:
        patch.setattr("shutil.disk_usage", lambda _: _Usage)
        for attempt in (
            lambda: ContinualMerger.load(begun).add(TASKS[1]),
            lambda: ContinualMerger.load(begun).export(tmp_path / "out"),
        ):
            with pytest.raises(OSError, match=r"no disk space: .* MB are needed"):
                attempt()
    with monkeypatch.context() as patch:
        patch.setattr("cmmlib.models.safetensors_writer.write_some", _full)
        for attempt in (
            lambda: ContinualMerger.load(begun).add(TASKS[1]),
            lambda: ContinualMerger.load(begun).export(tmp_path / "out"),
        ):
            with pytest.raises(OSError, match=r"No space left on device.*\.safetensors"):
                attempt()
    assert contents(begun) == before and not (tmp_path / "out").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state"]


class _Usage:
    free = 1000


def _full(file: object, data: memoryview, _count: list[int] = [0]) -> int:  # noqa: B006  (counts over calls)
    _count[0] += 1
    if _count[0] % 5 == 0:
        raise OSError(28, "No space left on device")
    return file.write(data)


def _hold(folder: Path, ready: multiprocessing.Event, done: multiprocessing.Event) -> None:
    with StateFolder(folder).locked():
        ready.set()
        done.wait(60)


def test_a_state_in_use_by_another_process_is_refused(begun: Path):
    context = multiprocessing.get_context("fork")
    ready, done = context.Event(), context.Event()
    merger, before = ContinualMerger.load(begun), contents(begun)
    holder = context.Process(target=_hold, args=(begun, ready, done))
    holder.start()
    assert ready.wait(60)
    for attempt in (lambda: merger.add(TASKS[1]), lambda: ContinualMerger.load(begun), merger.merged):
        with pytest.raises(StateInUse, match="is in use by another process"):
            attempt()
    assert contents(begun) == before
    done.set()
    holder.join()
    merger.add(TASKS[1])


def test_a_state_that_another_process_has_moved_on_must_be_loaded_again(begun: Path):
    early = ContinualMerger.load(begun)
    ContinualMerger.load(begun).add(TASKS[1])
    before = contents(begun)
    with pytest.raises(ValueError, match="has been changed by another process meanwhile; load it again"):
        early.add(TASKS[2])
    assert contents(begun) == before


def test_saving_never_overwrites(begun: Path, tmp_path: Path):
    before = contents(begun)
    with pytest.raises(FileExistsError, match="exists and is not empty"):
        ContinualMerger(BASE, "magmax").save(begun)
    assert contents(begun) == before


def test_a_name_that_a_state_needs_for_itself_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="holds '::'"):
        ContinualMerger({"a::b": torch.ones(2)}, "magmax").save(tmp_path / "state")
    assert not (tmp_path / "state").exists()


def test_a_model_that_changes_while_it_is_read_is_refused(begun: Path, tmp_path: Path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(TASKS[1].read_bytes())

    def meddling(step: Callable, inputs: Iterable) -> Iterator:
        os.utime(path, ns=(1, 1))
        return map(step, inputs)

    before = contents(begun)
    with pytest.raises(ValueError, match="changed while it was read; nothing was merged"):
        ContinualMerger.load(begun, layer_map=meddling).add(path)
    assert contents(begun) == before


def test_names_never_become_paths(tmp_path: Path):
    base = {"../../evil": torch.ones(2), "/etc/evil": torch.ones(2), "a\x00b": torch.zeros(1)}
    model = {key: x + 0.1 for key, x in copy.deepcopy(base).items()}
    save_file(base, tmp_path / "base.safetensors")
    merger = ContinualMerger(tmp_path / "base.safetensors", "magmax")
    merger.save(tmp_path / "deep" / "state")
    ContinualMerger.load(tmp_path / "deep" / "state").add(model, name="../../x/../y").export(tmp_path / "deep" / "out")
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert found == [
        "base.safetensors",
        "deep/out/README.md",
        "deep/out/model.safetensors",
        "deep/state/lock",
        "deep/state/running-1.safetensors",
        "deep/state/state.json",
    ]
