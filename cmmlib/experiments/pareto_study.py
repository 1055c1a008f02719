"""What a study of the Pareto front needs of models and test sets: task vectors, layers' inputs, accuracies, changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from ..analysis.output_change import output_change
from ..evaluation.scorer import ZeroShotScorer
from ..evaluation.towers import Tower
from ..models.opening import open_model
from ..models.source import Model

Inputs = Mapping[str, Mapping[str, Tensor]]
"""Task → layer → what goes into it, (images, ..., inputs)."""


def task_vectors(base: Model, model: Model, layers: Sequence[str]) -> dict[str, Tensor]:
    """What a model adds to its base: layer → tensor (m, n).

    Args:
        base, model: as `cmmlib.merge` takes them.
        layers: names of weights, without ``vision_model.``.
    """
    start, source = open_model(base), open_model(model)
    return {key: source.read(key) - start.read(key) for key in layers}


def old_and_new(scorer: ZeroShotScorer, models: Mapping[Any, Tower], tasks: Sequence[str]) -> pd.DataFrame:
    """Zero-shot accuracies (%) of merged models on the tasks merged before, the new one, and all.

    Args:
        models: label → tensors, as `ZeroShotScorer.score` takes them.
        tasks: in the order of merging, two or more; the last is the new one.

    Returns:
        Indexed by label (tuples give several levels), with columns ``old tasks`` (a mean), ``new task`` and ``all tasks``
        (a mean).
    """
    rows: dict[Any, tuple[float, float]] = {}
    for label, tensors in models.items():
        scores = scorer.score(tensors, tasks)
        rows[label] = float(np.mean([scores[name].accuracy for name in tasks[:-1]])), scores[tasks[-1]].accuracy
    scored = pd.DataFrame(list(rows.values()), index=pd.Index(list(rows)), columns=["old tasks", "new task"])
    scored["all tasks"] = ((len(tasks) - 1) * scored["old tasks"] + scored["new task"]) / len(tasks)
    return scored


def layer_inputs(scorer: ZeroShotScorer, tasks: Sequence[str], layers: Sequence[str], images: int) -> Inputs:
    """What goes into the base's linear layers on the first images of each task's test set.

    Args:
        layers: names of their weights, without ``vision_model.``.
        images: per task.

    Returns:
        Task → layer → float32 (images, ..., inputs).
    """
    encoder = scorer.encoder.fresh()
    found: dict[str, dict[str, Tensor]] = {task: {} for task in tasks}
    for task, seen in found.items():
        hooks = [
            encoder.get_submodule(key.removesuffix(".weight")).register_forward_pre_hook(
                lambda module, args, key=key, seen=seen: seen.update({key: args[0]})
            )
            for key in layers
        ]
        with torch.inference_mode():
            encoder(scorer.inputs(task)[:images])
        for hook in hooks:
            hook.remove()
    return found


def output_changes(
    merged: Mapping[str, Tensor], models: Mapping[Any, Mapping[str, Tensor]], inputs: Inputs, tasks: Sequence[str]
) -> pd.DataFrame:
    """How much the outputs of layers change on the images of some tasks, from one merged model to others.

    Args:
        merged: layer → its weight, or its task vector.
        models: label → the same of the other models.
        inputs: of `layer_inputs`.
        tasks: whose mean is taken (`cmmlib.analysis.output_change.output_change`).

    Returns:
        A row per model and layer: ``model``, ``layer``, ``change``.
    """
    rows = [
        (label, key, output_change([inputs[task][key] for task in tasks], tensors[key] - merged[key]))
        for label, tensors in models.items()
        for key in merged
    ]
    return pd.DataFrame(rows, columns=["model", "layer", "change"])
