"""A merge that lives in a folder goes on bit for bit, wherever its base has gone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import GPT2Config, GPT2LMHeadModel

from cmmlib import ContinualMerger, merge

from ..helpers.models import BASE, TASKS, contents, same_in_order

METHODS = {
    "weight_average": {},
    "task_arithmetic": {},
    "ties": {},
    "magmax": {},
    "opcm": {},
    "dop": {"solver": "exact", "exclude_keys": ("encoder.layers.0.mlp.fc1",)},
}


@pytest.mark.parametrize("method", METHODS)
def test_going_on_is_bit_for_bit_what_one_process_gives(method: str, tmp_path: Path):
    params = METHODS[method]
    alone = ContinualMerger(BASE, method, **params)
    ContinualMerger(BASE, method, **params).save(tmp_path / "state")
    for number, task in enumerate(TASKS, 1):
        alone.add(task)
        ContinualMerger.load(tmp_path / "state").add(task)
        loaded = ContinualMerger.load(tmp_path / "state")
        assert same_in_order(loaded.merged(), alone.merged()) and len(loaded) == number
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
    assert same_in_order(ContinualMerger.load(tmp_path / "state").merged(), expected.merged())


def test_a_merger_goes_on_in_memory_after_it_was_saved(tmp_path: Path):
    merger = ContinualMerger(BASE, "ties").add(TASKS[0])
    merger.save(tmp_path / "state")
    before = contents(tmp_path / "state")
    merger.add(TASKS[1])
    assert contents(tmp_path / "state") == before
    assert same_in_order(merger.merged(), ContinualMerger.load(tmp_path / "state").add(TASKS[1]).merged())


def test_transposed_weights_go_on_bit_for_bit(tmp_path: Path):
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
    assert same_in_order(ContinualMerger.load(tmp_path / "state").merged(), alone.merged())


def test_a_base_in_memory_is_given_again_on_loading(tmp_path: Path):
    base = load_file(BASE)
    linear = ["*_proj.weight", "*.fc?.weight"]
    ContinualMerger(base, "opcm", linear=linear).save(tmp_path / "state")
    with pytest.raises(ValueError, match="was started from a base in memory; give it"):
        ContinualMerger.load(tmp_path / "state")
    loaded = ContinualMerger.load(tmp_path / "state", base=base).add(TASKS[0]).add(TASKS[1])
    assert same_in_order(loaded.merged(), merge(base, TASKS[:2], method="opcm", linear=linear))


def test_a_base_that_moved_is_found_where_it_is_said_to_be(tmp_path: Path):
    (tmp_path / "old.safetensors").write_bytes(BASE.read_bytes())
    ContinualMerger(tmp_path / "old.safetensors", "magmax").add(TASKS[0]).save(tmp_path / "state")
    (tmp_path / "old.safetensors").rename(tmp_path / "new.safetensors")
    with pytest.raises(FileNotFoundError, match=r"old\.safetensors.*say where it is now"):
        ContinualMerger.load(tmp_path / "state")
    merger = ContinualMerger.load(tmp_path / "state", base=tmp_path / "new.safetensors")
    assert same_in_order(merger.merged(), merge(BASE, TASKS[:1], method="magmax"))


def test_a_state_that_another_process_has_moved_on_must_be_loaded_again(begun: Path):
    early = ContinualMerger.load(begun)
    ContinualMerger.load(begun).add(TASKS[1])
    before = contents(begun)
    with pytest.raises(ValueError, match="has been changed by another process meanwhile; load it again"):
        early.add(TASKS[2])
    assert contents(begun) == before


def test_a_name_that_a_state_needs_for_itself_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="holds '::'"):
        ContinualMerger({"a::b": torch.ones(2)}, "magmax").save(tmp_path / "state")
    assert not (tmp_path / "state").exists()


def test_transformers_is_not_imported_to_add(begun: Path):
    script = (
        "import sys; from cmmlib import ContinualMerger; "
        "ContinualMerger.load(sys.argv[1]).add(sys.argv[2]); "
        "print([name for name in ('transformers', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script, begun, TASKS[1]], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
