"""`merge` is the loop over `add`, over a sequence of models."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from cmmlib import ContinualMerger, merge

from ..helpers.models import METHODS, QUICK, same


@pytest.mark.parametrize("method", METHODS)
def test_merge_is_the_loop(method: str, toy: tuple):
    base, models = toy
    params = QUICK.get(method, {})
    merger = ContinualMerger(base, method, linear=["fc.weight"], **params)
    for i, model in enumerate(models, 1):
        assert merger.add(model) is merger and len(merger) == i
        assert same(merger.merged(), merge(base, models[:i], method=method, linear=["fc.weight"], **params))
    assert same(merge(base, iter(models), method=method, linear=["fc.weight"], **params), merger.merged())
    assert repr(merger).endswith(": 3 models merged")


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([], "the sequence is empty"),
        (iter(()), "the sequence is empty"),
        ("models/mnist", r"single path 'models/mnist'; put it in a list"),
        (Path("models/mnist"), r"single path 'models/mnist'; put it in a list"),
        ({"fc.weight": torch.zeros(4, 6)}, r"single dict; put it in a list"),
        (nn.Linear(2, 2), r"single Linear; put it in a list"),
    ],
)
def test_what_is_not_a_sequence_of_models_is_refused(models: object, message: str, toy: tuple):
    with pytest.raises(ValueError, match=message):
        merge(toy[0], models, method="weight_average")
