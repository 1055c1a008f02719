"""The merges from all models at once, against which the cost bench measures, are right."""

from __future__ import annotations

import torch

import cmmlib
from cmmlib.bench.at_once import dop_all_anew, ties_at_once
from cmmlib.bench.random_towers import LINEAR, Model


def test_merging_anew_gives_what_the_constant_state_gives(base: Model, models: list[Model]):
    anew = dop_all_anew(base, models)
    kept = cmmlib.merge(base, models, method="dop_all", svd_proj_space="u", linear=LINEAR)
    for name, tensor in base.items():
        torch.testing.assert_close(anew[name] - tensor, kept[name] - tensor, rtol=1e-3, atol=1e-6)


def test_ties_at_once_trims_elects_and_averages_those_that_agree():
    base = {"w": torch.zeros(5)}
    models = [{"w": torch.tensor(values)} for values in ([4.0, 0.1, -3.0, 0.0, 0.2], [2.0, 5.0, 4.0, 0.1, 0.0])]
    # as published one more than 40 % of five stay: (4, 0, -3, 0, 0.2) and (2, 5, 4, 0, 0); the third entry's sign is +
    expected = torch.tensor([3.0, 5.0, 4.0, 0.0, 0.2])
    assert torch.equal(ties_at_once(base, models, share=0.4)["w"], expected)
