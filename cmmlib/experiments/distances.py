"""How far merged models are from the base, what of each model is left in them, and what is kept between models."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from ..analysis import geometry
from ..merging.merge import merge
from ..merging.merged import merged_norm
from ..merging.merger import ContinualMerger
from ..models.opening import open_model
from ..suites.suite import Suite
from .rows import named_rows


def merge_distances(suite: Suite, backbone: str, names: Sequence[str], orders: Sequence[Sequence[str]]) -> pd.DataFrame:
    """Merge each order by each row of the table; measure and save the merge after every model.

    Args:
        suite, backbone: where the models are.
        names: of rows (`cmmlib.experiments.rows.named_rows`).
        orders: tasks in the order of merging.

    Returns:
        Columns ``num_tasks``, ``label``, ``step`` (from 1), ``task``, ``distance`` (‖merged − base‖), ``mean_task_norm``
        (the mean of ‖τ‖ so far) and ``kept_bytes`` (the files of the saved merge).

    Raises:
        ValueError: there is no such row.
    """
    rows = []
    for order in orders:
        for label, (method, params) in named_rows(names, len(order)).items():
            merger = ContinualMerger(suite.base(backbone), method, **params)
            for step, task in enumerate(order, 1):
                merger.add(suite.checkpoint(backbone, task), name=task)
                norms = merger.history["task_vector_norm"]
                distance = merged_norm(merger.recipe, merger.standing, solve=True)
                rows.append((len(order), label, step, task, distance, norms.mean(), kept_bytes(merger)))
    columns = ["num_tasks", "label", "step", "task", "distance", "mean_task_norm", "kept_bytes"]
    return pd.DataFrame(rows, columns=columns)


def kept_bytes(merger: ContinualMerger) -> int:
    """Bytes of all files that a saved merge consists of; the base is not among them."""
    with tempfile.TemporaryDirectory() as scratch:
        merger.save(Path(scratch, "state"))
        return sum(file.stat().st_size for file in Path(scratch, "state").rglob("*") if file.is_file())


UNCUT = 1e9
"""A cap of `kronecker` that cuts nothing."""


def cap_distances(suite: Suite, backbone: str, tasks: Sequence[str]) -> pd.DataFrame:
    """How far each layer that `kronecker` cuts is from the one without a cut.

    Returns:
        Columns ``layer``, ``kind`` and ``distance``: ‖cut − uncut‖ / ‖uncut − base‖ in per cent.  Layers that are not cut
        are left out.
    """
    base, models = suite.base(backbone), [suite.checkpoint(backbone, task) for task in tasks]
    start = open_model(base)
    cut, uncut = (open_model(merge(base, models, method="kronecker", **given)) for given in ({}, {"cap": UNCUT}))
    rows = []
    for layer in uncut.names:
        weight, other = uncut.read(layer), cut.read(layer)
        if not torch.equal(weight, other):
            moved = torch.linalg.vector_norm(weight - start.read(layer))
            apart = torch.linalg.vector_norm(weight - other)
            rows.append((layer, geometry.layer_of(layer)[1], (100 * apart / moved).item()))
    return pd.DataFrame(rows, columns=["layer", "kind", "distance"])


def traces_of_arrivals(suite: Suite, backbone: str, names: Sequence[str], order: Sequence[str]) -> pd.DataFrame:
    """How much of each model is left in the merged one: the cosine of the merged task vector with each task vector.

    Args:
        suite, backbone: where the models are.
        names: of rows (`cmmlib.experiments.rows.named_rows`).
        order: tasks in the order of merging.

    Returns:
        A row per label, a column per place in the order, from 1 (the first to arrive).

    Raises:
        ValueError: there is no such row.
    """
    models = [suite.checkpoint(backbone, task) for task in order]
    base = open_model(suite.base(backbone))
    found = {}
    for label, (method, params) in named_rows(names, len(order)).items():
        merged = open_model(merge(suite.base(backbone), models, method=method, **params))
        sources = [merged, *map(open_model, models)]
        products = sum(
            geometry.inner_products([source.read(key).double() - base.read(key).double() for source in sources])
            for key in base.shapes
        )
        found[label] = geometry.cosines(products)[0, 1:]
    return pd.DataFrame(found, index=pd.RangeIndex(1, len(order) + 1, name="arrived as")).T
