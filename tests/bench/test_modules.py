"""The plain loop that merging in memory is measured against: it gives what ours gives."""

import pytest
import torch

from cmmlib import merge
from cmmlib.bench.modules import RULES, by_loop, random_modules


@pytest.fixture(scope="module")
def modules():
    return random_modules("ViT-B/32", 1, 3)


@pytest.mark.parametrize("name", RULES)
def test_the_loop_gives_what_ours_gives(name: str, modules):
    base, *models = modules
    found, ours = by_loop(RULES[name], modules), merge(base, models, method=name)
    for key, tensor in found.items():
        torch.testing.assert_close(ours[key], tensor, atol=1e-6, rtol=1e-5)


def test_the_loop_refuses_nan(modules):
    base, model, *_ = modules
    parameter = next(iter(model.parameters()))
    kept = parameter.clone()
    parameter.view(-1)[0] = torch.nan
    with pytest.raises(ValueError, match="not a number"):
        by_loop(RULES["magmax"], [base, model])
    parameter.copy_(kept)
