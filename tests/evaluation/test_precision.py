"""TF32 while scoring on a GPU."""

from __future__ import annotations

import pytest
import torch

from cmmlib.evaluation.precision import no_tf32


@pytest.mark.parametrize("spoken", ["older", "newer"])
def test_tf32_is_off_while_scoring_on_a_gpu_and_then_as_before(spoken):
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    if spoken == "newer" and not hasattr(products, "fp32_precision"):
        pytest.skip("torch before 2.9")
    name, on, off = ("allow_tf32", True, False) if spoken == "older" else ("fp32_precision", "tf32", "ieee")
    before = getattr(products, name)
    try:
        setattr(products, name, on)
        with no_tf32(torch.device("cuda")):
            assert getattr(products, name) == off
            assert getattr(convolutions if spoken == "older" else convolutions.conv, name) == off
        assert getattr(products, name) == on and convolutions.allow_tf32
        with no_tf32(torch.device("cpu")):
            assert getattr(products, name) == on
    finally:
        setattr(products, name, before)
