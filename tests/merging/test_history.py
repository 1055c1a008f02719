"""The history: a row per model, with the method's own quantities."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from cmmlib import ContinualMerger

from ..helpers.models import METHODS, QUICK

COLUMNS = ["name", "task_vector_norm", "merged_norm", "read_seconds", "merge_seconds", "left_out"]
OWN = {
    "opcm": ["lambda"],
    "dop": [
        f"{q}_{how}" for q in ("alpha", "loss_stability", "loss_plasticity", "degenerate") for how in ("mean", "min", "max")
    ],
}


@pytest.mark.parametrize("method", METHODS)
def test_history_has_a_row_per_model(method: str, toy: tuple, saved: Callable):
    base, models = toy
    merger = ContinualMerger(base, method, linear=["fc.weight"], **QUICK.get(method, {}))
    assert list(merger.history.columns) == COLUMNS and len(merger.history) == 0
    merger.add(models[0]).add(saved(models[1], "cars.safetensors")).add(models[2], name="svhn")
    history = merger.history
    assert list(history.columns) == COLUMNS + OWN.get(method, [])
    assert list(history["name"]) == ["model_1", "cars", "svhn"]
    assert list(history.index) == [1, 2, 3] and history.index.name == "step"
    norms = [sum((m[k].double() - base[k].double()).square().sum() for k in base).sqrt().item() for m in models]
    assert list(history["task_vector_norm"]) == pytest.approx(norms, rel=1e-6)
    merged = merger.merged(torch.float64)
    norm = sum((merged[k] - base[k].double()).square().sum() for k in base).sqrt().item()
    assert history["merged_norm"].iloc[-1] == pytest.approx(norm, rel=1e-6)
    assert (history[["read_seconds", "merge_seconds", "left_out"]] >= 0).all(axis=None)
    history["name"] = "changed"
    assert list(merger.history["name"]) == ["model_1", "cars", "svhn"], "a copy is handed out"


def test_history_of_dop_says_which_weight_was_used(toy: tuple):
    base, models = toy
    merger = ContinualMerger(base, "dop", linear=["fc.weight"], mgda=False, alpha=0.7, num_steps=2)
    history = merger.add(models[0]).add(models[1]).history
    assert history["alpha_mean"].isna().tolist() == [True, False]  # the first model is taken as it is
    assert history["alpha_max"].iloc[1] == 0.7 and history["degenerate_max"].iloc[1] == 0
