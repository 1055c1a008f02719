"""The zoo belongs to the recipes in the code."""

from __future__ import annotations

import pytest
from transformers import CLIPModel, CLIPTokenizer

from cmmlib.suites.mini.build.recipes import base_recipe, delta_recipe
from cmmlib.suites.mini.shipped import ZOO
from cmmlib.suites.mini.tasks import TASKS
from cmmlib.suites.zoos.recipe_files import stored_recipe

from .shipped import SHIPPED, stored


@pytest.mark.parametrize("backbone", SHIPPED)
def test_a_rebuild_would_keep_every_stored_model(backbone):
    """The zoo belongs to the recipes in the code: nothing was retuned without being rebuilt."""
    folder, _ = stored(backbone)
    base = CLIPModel.from_pretrained(folder / "base")
    expected = base_recipe(ZOO, backbone, CLIPTokenizer.from_pretrained(ZOO / "tokenizer"))
    assert stored_recipe(folder / "base" / "model.safetensors") == expected
    for task in TASKS:
        made_from = delta_recipe(backbone, base, task)
        assert stored_recipe(folder / "deltas" / f"{task.name}.safetensors") == made_from
