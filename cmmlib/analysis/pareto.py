"""DOP's two losses as tables: along the exact Pareto front, and where merged models and the published solver land.

Fronts are frames as `cmmlib.pareto_front` gives them.  Task vectors are given as layer → tensor (m, n).  All tables name
the losses ``L0`` (stability) and ``L1`` (plasticity).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from ..methods import get_method
from ..methods.dop import solve_adam
from ..methods.exact import Front
from ..methods.losses import Quadratic, quadratic

Layers = Mapping[str, Tensor]
SOLVER = ("lr", "num_steps", "mgda", "ema", "ema_beta", "alpha")  # the hyper-parameters of DOP that are the solver's
SHORT = {"loss_stability": "L0", "loss_plasticity": "L1"}


def layer_front(front: pd.DataFrame, alpha: float | str) -> pd.DataFrame:
    """The point of every layer's front for one alpha: indexed by layer, with columns ``a``, ``L0`` and ``L1``."""
    return front[front["alpha"] == alpha].set_index("layer")[["a", *SHORT]].astype(float).rename(columns=SHORT)


def model_front(front: pd.DataFrame) -> pd.DataFrame:
    """The whole model's front: the mean a and the sums of both losses over layers.

    Returns:
        Indexed by alpha, in the order of the front, with columns ``a``, ``L0`` and ``L1``.
    """
    total = front.groupby("alpha", sort=False)[["a", *SHORT]].agg(dict.fromkeys(SHORT, "sum") | {"a": "mean"})
    return total[["a", *SHORT]].astype(float).rename(columns=SHORT)


def layer_losses(
    merged: Layers, new: Layers, *, dtype: torch.dtype | None = torch.float64
) -> dict[str, tuple[Quadratic, Quadratic]]:
    """L_0 and L_1 of every layer, with DOP's default rank and both terms (`cmmlib.methods.losses`).

    Args:
        merged, new: the task vectors of what has been merged so far and of the new model.
        dtype: to compute in; None for that of the task vectors.
    """
    defaults = get_method("dop").defaults
    cut = defaults["svd_proj_space"], defaults["svd_epsilon"]
    return {key: (quadratic(merged[key], *cut, dtype=dtype), quadratic(new[key], *cut, dtype=dtype)) for key in merged}


def losses_at(losses: Mapping[str, tuple[Quadratic, Quadratic]], task_vectors: Layers) -> pd.DataFrame:
    """Both losses of a model, in float64: indexed by layer, with columns ``L0`` and ``L1``.

    Args:
        losses: of `layer_losses`.
        task_vectors: of the model, for every layer of ``losses``.
    """
    rows = [[loss.gradient(task_vectors[key].double())[1] for loss in pair] for key, pair in losses.items()]
    return pd.DataFrame(rows, index=pd.Index(losses, name="layer"), columns=["L0", "L1"])


def objectives(front: pd.DataFrame, losses: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """a L_0 + (1 − a) L_1 for every number a on the front: its minimum, and what a model reaches.

    Args:
        front: of the layers of ``losses``.
        losses: indexed by layer, with columns ``L0`` and ``L1``.

    Returns:
        Two frames [layers, a].
    """
    best: dict[float, pd.Series] = {}
    reached: dict[float, pd.Series] = {}
    for a in (alpha for alpha in front["alpha"].unique() if not isinstance(alpha, str)):
        least = layer_front(front, a).loc[losses.index]
        best[a] = a * least["L0"] + (1 - a) * least["L1"]
        reached[a] = a * losses["L0"] + (1 - a) * losses["L1"]
    return pd.DataFrame(best), pd.DataFrame(reached)


def above_front(front: pd.DataFrame, losses: pd.DataFrame) -> float:
    """How far a model is above the model's front, in per cent.

    A model on the front minimises a L_0 + (1 − a) L_1 for some a.  This is the least excess over that minimum, of all a on
    the front between 0 and 1.  The losses are those of the model, one a for all layers.

    Args:
        front, losses: as of `objectives`.
    """
    best, reached = (frame.sum() for frame in objectives(front, losses))
    inside = [a for a in best.index if 0 < a < 1]
    return 100 * float((reached[inside] / best[inside] - 1).min())


def landings(front: pd.DataFrame, losses: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Where models land: their losses, summed over layers, and how far they are above the front.

    Args:
        losses: label → losses as of `objectives`.

    Returns:
        Indexed by label, with columns ``L0``, ``L1`` and ``above the front (%)``.
    """
    rows = {label: [at["L0"].sum(), at["L1"].sum(), above_front(front, at)] for label, at in losses.items()}
    return pd.DataFrame.from_dict(rows, orient="index", columns=["L0", "L1", "above the front (%)"]).rename_axis("method")


def solver_ends(merged: Layers, new: Layers, **settings: Any) -> pd.DataFrame:
    """Where the published solver (`cmmlib.methods.dop.solve_adam`) ends on every layer.

    It runs in the dtype of the task vectors; its ends are evaluated in float64.

    Args:
        merged, new: as of `layer_losses`.
        settings: of the solver, where they differ from the published ones: ``lr``, ``num_steps``, ``mgda``, …

    Returns:
        Indexed by layer: the last ``a``, ``L0``, ``L1``, and ``excess (%)``, how far a L_0 + (1 − a) L_1 is above its
        minimum for that a.

    Raises:
        TypeError: a setting that the solver has not.
    """
    settings = {name: get_method("dop").defaults[name] for name in SOLVER} | settings
    rough, fine = layer_losses(merged, new, dtype=None), layer_losses(merged, new)
    ends, weights = {}, {}
    for key, pair in rough.items():
        ends[key], weights[key] = solve_adam(*pair, **settings)
    found = losses_at(fine, ends)
    found.insert(0, "a", pd.Series(weights))
    best = {key: Front(*fine[key]).at(a) for key, a in weights.items()}
    minimum = pd.Series({key: a * best[key].l0 + (1 - a) * best[key].l1 for key, a in weights.items()})
    found["excess (%)"] = 100 * ((found["a"] * found["L0"] + (1 - found["a"]) * found["L1"]) / minimum - 1)
    return found


def differences(ends: pd.DataFrame, of: pd.DataFrame) -> pd.DataFrame:
    """How far one table of ends is from another, per layer and, in row ``all``, for the sums of the losses.

    Args:
        ends: with columns ``a``, ``L0`` and ``L1``, such as `layer_front` for ``"mgda"``.
        of: the table that it is compared with, such as that of `solver_ends`.

    Returns:
        ``a``, the difference, of the means in row ``all``; ``L0 (%)`` and ``L1 (%)``, the relative differences.
    """
    both = [pd.concat([frame, frame.agg({"a": "mean", "L0": "sum", "L1": "sum"}).to_frame("all").T]) for frame in (ends, of)]
    relative = {f"{name} (%)": 100 * (both[0][name] / both[1][name] - 1) for name in ("L0", "L1")}
    return pd.DataFrame({"a": both[0]["a"] - both[1]["a"], **relative})


def differences_in_words(differences: pd.DataFrame, excess: pd.Series) -> str:
    """What a table of `differences` of the emulation from the solver says, and the solver's excess, in three sentences."""
    layers, whole = differences.drop("all"), differences.loc["all"]
    low, high = layers.min(), layers.max()
    l0, l1 = (f"{whole[x]:+.1f} % (layers {low[x]:+.1f} to {high[x]:+.1f} %)" for x in ("L0 (%)", "L1 (%)"))
    return (
        f"over {len(layers)} layers the emulation's a is within {layers['a'].abs().max():.4f} of the solver's. "
        f"In all, its L0 is off by {l0}, its L1 by {l1}. The solver ends {excess.mean():.2f} % above the minimum "
        f"for its own a (worst layer {excess.max():.2f} %)."
    )
