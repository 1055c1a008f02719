"""Model folders are written whole, under the hub's names, and never over anything."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cmmlib.models import open_model, save_model

from ..helpers.models import STATE, read, same


def test_what_is_saved_is_read_back(tmp_path: Path):
    folder = save_model({**STATE, "half": torch.ones(3, 2).half().T}, tmp_path / "new" / "model", {"model_type": "mine"})
    assert same(read(folder), {**STATE, "half": torch.ones(2, 3).half()})
    assert open_model(folder).config == {"model_type": "mine"}
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def test_vision_towers_are_stored_under_the_hubs_names(tmp_path: Path):
    bare = {"pre_layrnorm.weight": torch.ones(2), "post_layernorm.bias": torch.zeros(2)}
    prefixed = {"vision_model." + key: tensor for key, tensor in bare.items()}
    for i, state in enumerate((bare, prefixed)):
        assert load_file(save_model(state, tmp_path / str(i)) / "model.safetensors").keys() == prefixed.keys()


def test_saving_never_overwrites(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    assert same(read(save_model(STATE, tmp_path / "empty")), STATE)
    (tmp_path / "file").write_text("mine")
    for target in ("empty", "file"):
        with pytest.raises(FileExistsError, match=r"exists and is (not empty|a file)"):
            save_model(STATE, tmp_path / target)
    assert (tmp_path / "file").read_text() == "mine"
