"""safetensors files read tensor by tensor: damage is named, whenever it comes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cmmlib import ContinualMerger
from cmmlib.models import open_model

from ..helpers.models import STATE, WHOLE, read, same


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_float_dtypes_are_known_without_reading(dtype: torch.dtype, tmp_path: Path):
    save_file({"a": torch.zeros(2, dtype=dtype)}, tmp_path / "model.safetensors")
    source = open_model(tmp_path)
    assert source.dtypes == {"a": dtype} and source.read("a").dtype == dtype


@pytest.mark.parametrize(
    "content",
    [
        b"abc",
        WHOLE[:6],
        WHOLE[:40],
        WHOLE[:-4],
        b"\xff" * 8 + WHOLE[8:],
        WHOLE[:8] + b"x" * (len(WHOLE) - 8),
        WHOLE + b"x",
    ],
    ids=["tiny", "length cut", "header cut", "data cut", "huge header", "no JSON", "trailing"],
)
def test_a_damaged_safetensors_file_is_named(content: bytes, tmp_path: Path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    for given in (path, tmp_path):
        with pytest.raises(ValueError, match=r"model\.safetensors is not a valid safetensors file .*fetch it again"):
            open_model(given)


def test_a_file_damaged_after_it_was_opened_changes_nothing(tmp_path: Path, perturbed: Callable):
    path = tmp_path / "model.safetensors"
    models = [perturbed(STATE, seed) for seed in (1, 2)]
    save_file(STATE, path)
    merger = ContinualMerger(path, "opcm", linear=["fc.weight"]).add(models[0])
    before = merger.merged()
    path.write_bytes(WHOLE[:-4])
    with pytest.raises(ValueError, match="not a valid safetensors file"):
        merger.add(models[1])
    path.write_bytes(WHOLE)
    assert same(merger.merged(), before) and len(merger) == 1


def test_a_file_overwritten_later_does_not_reach_what_was_read(tmp_path: Path):
    path = tmp_path / "model.safetensors"
    save_file(STATE, path)
    tensors = read(path)
    with path.open("r+b") as file:
        file.seek(len(WHOLE) - 48)
        file.write(bytes(48))
    assert same(tensors, STATE)
