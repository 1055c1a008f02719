"""One model has one hash, whatever container and spelling it comes in."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from cmmlib import ContinualMerger

from ..helpers.models import BASE, TASKS


def test_the_content_hash_does_not_depend_on_the_container(tmp_path: Path):
    tensors = load_file(TASKS[0])
    bare = {key.removeprefix("vision_model."): tensors[key] for key in reversed(tensors)}
    save_file(bare, tmp_path / "bare.safetensors")
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    ContinualMerger(BASE, "weight_average").save(tmp_path / "state")
    merger = ContinualMerger.load(tmp_path / "state").add(TASKS[0])
    for other in (tmp_path / "bare.safetensors", tmp_path / "pytorch_model.bin", bare):
        with pytest.raises(ValueError, match="has been merged before, as model 1, 'task0'"):
            merger.add(other)
    assert len(merger.add(bare, allow_repeat=True)) == 2
