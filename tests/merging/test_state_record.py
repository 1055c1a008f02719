"""What ``state.json`` says of a merge, and the merge that is had from it."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2Model

from cmmlib import ContinualMerger
from cmmlib.merging.accumulated import OnDiskDraft
from cmmlib.merging.new_recipe import new_recipe
from cmmlib.merging.recipe import Recipe
from cmmlib.merging.standing import Standing
from cmmlib.merging.state_folder import StateFolder
from cmmlib.merging.state_json import fault_of
from cmmlib.merging.state_record import on_record, recipe_of, standing_of, to_record
from cmmlib.models.content_hash import content_hash

from ..helpers.models import BASE, TASKS, State


def test_the_json_holds_what_is_needed_to_know_what_this_is(begun: Path):
    record = json.loads((begun / "state.json").read_text())
    assert record["method"] == "opcm" and record["parameters"] == {"alpha": 0.5, "zero_diagonal": True}
    assert record["base"]["source"] == str(BASE) and len(record["base"]["hash"]) == 64
    (model,) = record["models"]
    assert model["name"] == "task0" and model["source"] == str(TASKS[0]) and model["time"].endswith("+00:00")
    assert model["history"]["task_vector_norm"] == pytest.approx(0.81026, abs=1e-5)
    assert "encoder.layers.0.mlp.fc1.weight" in record["layers"]["linear"]
    assert record["running"] == "running-1.safetensors" and record["torch"] == torch.__version__


def facts(recipe: Recipe) -> dict[str, Any]:
    """All of a recipe but the base itself, which is opened anew."""
    return {field.name: getattr(recipe, field.name) for field in fields(Recipe) if field.name != "base"}


def through_json(record: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(record, allow_nan=False))


@pytest.mark.parametrize(
    ("method", "params", "options"),
    [
        ("opcm", {"alpha": 0.4}, {"compute_dtype": torch.float64}),
        ("dop", {"solver": "exact", "exclude_keys": ("encoder.layers.0.mlp.fc1",)}, {}),
        ("magmax", {}, {"reference_compat": True}),
        ("task_arithmetic", {"scaling_factor": 1 / 3}, {"linear": ["*.fc1.weight"]}),
    ],
)
def test_a_recipe_comes_back_from_its_record(method: str, params: dict, options: dict, tmp_path: Path):
    recipe = on_record(new_recipe(BASE, method, params, **options))
    record = through_json(to_record(recipe, Standing()))
    assert fault_of(record) is None
    back = recipe_of(record, tmp_path, None, None)
    assert facts(back) == facts(recipe) and back.base.files == recipe.base.files
    assert to_record(back, Standing()) == to_record(recipe, Standing())


def test_a_recipe_of_a_base_in_memory_comes_back_with_its_kinds_and_transposed_weights(tmp_path: Path):
    torch.manual_seed(0)
    gpt = GPT2Model(GPT2Config(n_embd=8, n_layer=1, n_head=2, n_positions=6, vocab_size=11))
    recipe = on_record(new_recipe(gpt, "opcm", {}))
    assert sum(layer.transposed for layer in recipe.layers.values()) == 4
    back = recipe_of(through_json(to_record(recipe, Standing())), tmp_path, dict(gpt.state_dict()), None)
    assert facts(back) == facts(recipe)


def test_what_it_was_begun_with_is_noted_once():
    recipe = new_recipe(BASE, "opcm", {})
    assert not recipe.recorded
    begun = on_record(recipe)
    assert begun.recorded and begun.base_hash == content_hash(recipe.base)
    assert begun.started_with["method_code"] == recipe.method.source_hash
    elsewhere = replace(begun, started_with={**begun.started_with, "torch": "1.0"})
    assert on_record(elsewhere) is elsewhere


def test_what_stands_comes_back_from_its_record(tmp_path: Path):
    merger = ContinualMerger(BASE, "opcm").add(TASKS[0]).add(TASKS[1])
    recipe, draft = on_record(merger.recipe), OnDiskDraft(tmp_path / "running-2.safetensors", merger.recipe.keys)
    for key in recipe.keys:
        draft.put(key, merger.standing.accumulated[key])
    standing = replace(merger.standing, accumulated=draft.close())
    record = through_json(to_record(recipe, standing))
    assert fault_of(record) is None and record["running"] == draft.path.name
    assert standing_of(record, standing.accumulated, recipe) == standing
    merger.save(tmp_path / "state")
    assert StateFolder(tmp_path / "state").record() == record


@pytest.mark.parametrize(
    ("tensors", "difference"),
    [({"a": torch.ones(2, 3)}, "other parameters"), ({"a": torch.ones(2, 3), "b": torch.ones(4)}, "another shape of 'b'")],
)
def test_tensors_that_are_not_those_of_the_base_are_refused(tensors: State, difference: str, tmp_path: Path):
    recipe = on_record(new_recipe({"a": torch.ones(2, 3), "b": torch.ones(3)}, "magmax", {}))
    draft = OnDiskDraft(tmp_path / "running-1.safetensors", tensors)
    for key, tensor in tensors.items():
        draft.put(key, tensor)
    with pytest.raises(ValueError, match=rf"is not the base that this state was started from \({difference}"):
        standing_of(to_record(recipe, Standing()), draft.close(), recipe)
