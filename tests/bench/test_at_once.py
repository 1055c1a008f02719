"""The merges from all models at once, against which the cost bench measures, are right."""

from __future__ import annotations

import torch

import cmmlib
from cmmlib.analysis import ties_at_once
from cmmlib.bench.at_once import dop_all_anew, ties_anew
from cmmlib.bench.random_towers import LINEAR, Model


def test_merging_anew_gives_what_the_constant_state_gives(base: Model, models: list[Model]):
    anew = dop_all_anew(base, models)
    kept = cmmlib.merge(base, models, method="dop_all", svd_proj_space="u", linear=LINEAR)
    for name, tensor in base.items():
        torch.testing.assert_close(anew[name] - tensor, kept[name] - tensor, rtol=1e-3, atol=1e-6)


def test_ties_anew_adds_what_all_at_once_gives_to_the_base(base: Model, models: list[Model]):
    merged = ties_anew(base, models)
    taus = ties_at_once([{name: model[name] - base[name] for name in base} for model in models])
    assert all(torch.equal(merged[name], base[name] + taus[name]) for name in base)
