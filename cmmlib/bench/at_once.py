"""Merging all models at once, as methods without a state must do for every model that arrives."""

from __future__ import annotations

import torch
from torch import Tensor

from ..methods.dop_all import solve
from ..threads import side_by_side
from .random_towers import Model, is_linear


def dop_all_anew(base: Model, models: list[Model], ridge: float = 1e-3) -> Model:
    """The result of the method ``dop_all`` after these models, computed from all of them at once."""

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


def ties_at_once(base: Model, models: list[Model], share: float = 0.2) -> Model:
    """TIES-Merging (arXiv 2306.01708) of all models: trim, elect signs, average the entries that agree.

    Args:
        share: of the entries of each task vector, the largest, that are kept.
    """

    def flat(model: Model) -> Tensor:
        return torch.cat([(model[name] - base[name]).flatten() for name in base])

    def trimmed(tau: Tensor) -> Tensor:
        size = tau.abs()
        return tau.where(size >= size.kthvalue(len(tau) - int(share * len(tau))).values, 0)

    taus = torch.stack([trimmed(flat(model)) for model in models])  # [models, parameters]
    agrees = taus * taus.sum(0).sign() > 0
    merged = (taus * agrees).sum(0) / agrees.sum(0).clamp(min=1)
    parts = merged.split([tensor.numel() for tensor in base.values()])
    return {name: tensor + part.view_as(tensor) for (name, tensor), part in zip(base.items(), parts, strict=True)}
