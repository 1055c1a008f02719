"""What every model is checked for, wherever its tensors are: float weights, and a configuration that is one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cmmlib import ContinualMerger

from ..helpers.models import STATE


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int64, torch.bool])
def test_quantised_files_are_refused_with_the_way_out(dtype: torch.dtype, tmp_path: Path):
    save_file({"a": torch.zeros(2).to(dtype)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"model\.safetensors: 'a' has weights in .*Dequantise"):
        ContinualMerger(tmp_path, "weight_average")


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2, torch.complex64, torch.int64])
def test_only_unquantised_floats_are_weights(dtype: torch.dtype):
    with pytest.raises(ValueError, match=rf"'w' has weights in {str(dtype)[6:]}, .*Dequantise"):
        ContinualMerger({"w": torch.zeros(2).to(dtype)}, "weight_average")


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe\x00", b"[1]", b"null", b'"clip"'])
def test_a_damaged_configuration_is_named(content: bytes, tmp_path: Path):
    save_file(STATE, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"config\.json (is not valid JSON|holds a \w+, not the configuration)"):
        ContinualMerger(tmp_path, "opcm")
