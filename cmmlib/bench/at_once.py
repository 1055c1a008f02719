"""Merging all models at once, as methods without a state must do for every model that arrives."""

from __future__ import annotations

import torch
from torch import Tensor

from ..analysis.at_once import ties_at_once
from ..methods.dop_all import solve
from ..threads import side_by_side
from .random_towers import Model, is_linear


def dop_all_anew(base: Model, models: list[Model], ridge: float = 1e-3) -> Model:
    """The result of the method ``dop_all`` with ``svd_proj_space="u"``, computed from all of these models at once."""

    def merge(name: str) -> Tensor:
        taus = [model[name] - base[name] for model in models]
        if not is_linear(name):
            return base[name] + sum(taus) / len(taus) ** 0.5
        p = r = torch.zeros((), dtype=torch.float64)
        for tau in taus:
            tau = tau.double()
            outer = tau @ tau.T
            p, r = p + outer, r + outer @ tau
        return base[name] + solve({"p": p, "r": r}, ridge).to(base[name].dtype)

    return dict(zip(base, side_by_side(merge, base), strict=True))


def ties_anew(base: Model, models: list[Model]) -> Model:
    """TIES-Merging of all models, by `cmmlib.analysis.ties_at_once`."""
    merged = ties_at_once([{name: model[name] - base[name] for name in base} for model in models])
    return {name: tensor + merged[name] for name, tensor in base.items()}
