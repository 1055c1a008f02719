"""A recipe: checked before a merge begins, and fixed from then on."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest
import torch
from transformers import GPT2Config, GPT2Model

from cmmlib import ContinualMerger
from cmmlib.merging.new_recipe import new_recipe
from cmmlib.merging.recipe import Recipe, hashed
from cmmlib.models.content_hash import content_hash

from ..helpers.models import BASE, broken


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "opmc"}, "unknown method 'opmc'; known are"),
        ({"alhpa": 1}, "'opcm' has no parameter 'alhpa'"),
        ({"alpha": 7}, r"'opcm', parameter 'alpha': expected a value in \[0, 1\]"),
        ({"compute_dtype": torch.float16}, "compute_dtype: expected torch.float32 or torch.float64, got torch.float16"),
        ({"device": "mps"}, "MPS has no float64"),
    ],
)
def test_arguments_are_checked_before_the_base_is_opened(arguments: dict, message: str):
    with pytest.raises(ValueError, match=message):
        ContinualMerger("no/such/base/at all", **arguments)


def test_a_base_of_integers_or_of_nothing_is_refused(toy: tuple):
    base, _ = toy
    with pytest.raises(ValueError, match=r"base .*'fc\.weight' has weights in int8, which cannot be merged.*Dequantise"):
        ContinualMerger(broken(base, "integer"), "weight_average")
    with pytest.raises(ValueError, match=r"base .* holds no parameters"):
        ContinualMerger({}, "weight_average")


@pytest.mark.parametrize("name", [field.name for field in fields(Recipe)])
def test_nothing_of_it_can_be_assigned(name: str, toy: tuple):
    recipe = new_recipe(toy[0], "magmax", {})
    with pytest.raises(FrozenInstanceError):
        setattr(recipe, name, getattr(recipe, name))


def test_a_hash_is_taken_once_and_makes_another_recipe(toy: tuple):
    recipe = new_recipe(toy[0], "magmax", {})
    known = hashed(recipe)
    assert recipe.base_hash is None and known.base_hash == content_hash(recipe.base)
    toy[0]["fc.bias"] += 1  # the base is read no more where its hash is known
    assert hashed(known).base_hash == known.base_hash != content_hash(known.base)


def test_tensors_are_viewed_as_methods_see_them_and_turned_back():
    torch.manual_seed(0)
    gpt = GPT2Model(GPT2Config(n_embd=8, n_layer=1, n_head=2, n_positions=6, vocab_size=11)).half()
    recipe = new_recipe(gpt, "opcm", {}, compute_dtype=torch.float64)
    stored = recipe.base.read("h.0.attn.c_attn.weight")
    (view,) = recipe.views("h.0.attn.c_attn.weight", stored)
    assert stored.shape == (8, 24) and view.shape == (24, 8) and view.dtype == torch.float64
    assert torch.equal(recipe.joined("h.0.attn.c_attn.weight", [view]), stored.double())
    assert [view.shape for view in recipe.views("wte.weight", recipe.base.read("wte.weight"))] == [(11, 8)]


def test_the_accumulated_tensors_take_what_it_says():
    recipe = new_recipe(BASE, "weight_average", {}, compute_dtype=torch.float64)
    assert recipe.accumulated_bytes == sum(8 * recipe.base.read(key).numel() for key in recipe.keys)
    assert recipe.keys == sorted(recipe.base.shapes)
