"""Weights in folders and files, the broken and the hostile ones among them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cmmlib import merge
from cmmlib.models import open_model

from ..helpers.models import STATE, read, same, sharded


def test_sharded_safetensors_are_one_model(tmp_path: Path):
    assert same(read(sharded(tmp_path)), STATE)
    assert open_model(tmp_path).label == str(tmp_path)


def test_a_sharded_model_merges_like_a_whole_one(tmp_path: Path, perturbed: Callable):
    model = perturbed(STATE, 1)
    assert same(merge(sharded(tmp_path), [model], linear=["fc.weight"]), merge(STATE, [model], linear=["fc.weight"]))


@pytest.mark.parametrize("zipped", [True, False])
def test_pytorch_bin_files_are_read(zipped: bool, tmp_path: Path):
    torch.save(STATE, tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=zipped)
    assert same(read(tmp_path), STATE)
    assert same(read(tmp_path / "pytorch_model.bin"), STATE)
    assert open_model(tmp_path).folder == tmp_path


@pytest.mark.parametrize("count", [1, 2])
def test_a_folder_without_a_models_own_name_is_not_guessed_at(count: int, tmp_path: Path):
    for name in ("first.safetensors", "second.safetensors")[:count]:
        save_file(STATE, tmp_path / name)
    message = {1: r"but first\.safetensors: name that file itself", 2: r"2 other \.safetensors files: name one of them"}[
        count
    ]
    with pytest.raises(FileNotFoundError, match=message):
        open_model(tmp_path)
    assert same(read(tmp_path / "first.safetensors"), STATE)


def test_a_shard_that_vanishes_is_missed_only_by_its_own_tensors(tmp_path: Path):
    source = open_model(sharded(tmp_path))
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    assert torch.equal(source.read("fc.weight"), STATE["fc.weight"])


class Bomb:
    """Unpickling it creates a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("how", ["zip", "legacy", "pickle"])
def test_a_bin_file_that_would_run_code_is_refused_and_does_not_run(how: str, tmp_path: Path):
    target, bomb = tmp_path / "pytorch_model.bin", {"fc.weight": Bomb(tmp_path / "ran")}
    if how == "pickle":
        target.write_bytes(pickle.dumps(bomb, protocol=2))
    else:
        torch.save(bomb, target, _use_new_zipfile_serialization=how == "zip")
    with pytest.raises(ValueError, match=r"pytorch_model\.bin cannot be read as plain tensors.*would run code.*safetensors"):
        open_model(tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"PK\x03\x04", b"no pickle at all"])
def test_a_damaged_bin_file_is_named(content: bytes, tmp_path: Path):
    (tmp_path / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(ValueError, match=r"pytorch_model\.bin cannot be read as plain tensors"):
        open_model(tmp_path)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ([torch.zeros(2)], ValueError, "holds a list, not a mapping"),
        ({"state_dict": STATE}, TypeError, "'state_dict' is a dict"),
        ({0: torch.zeros(2)}, TypeError, r"pytorch_model\.bin: 0 is"),
    ],
)
def test_a_bin_file_of_something_else_is_named(content: object, error: type, message: str, tmp_path: Path):
    torch.save(content, tmp_path / "pytorch_model.bin")
    with pytest.raises(error, match=message):
        open_model(tmp_path)


@pytest.mark.parametrize(
    "shard", ["../outside.safetensors", "/etc/passwd", "absent.safetensors", "sub/x.safetensors", "", ".", "..", 7, None]
)
def test_a_shard_that_lies_elsewhere_is_refused(shard: object, tmp_path: Path):
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    for outside in (tmp_path / "outside.safetensors", folder / "sub" / "x.safetensors"):
        save_file(STATE, outside)
    with pytest.raises((FileNotFoundError, ValueError), match=r"model\.safetensors\.index\.json"):
        open_model(sharded(folder, (shard, shard)))


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"weight_map": {}}', '{"weight_map": []}', '{"weight_map": {"a": ["b"]}}', "\x00", "null"]
)
def test_a_damaged_index_is_named(text: str, tmp_path: Path):
    sharded(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(ValueError, match=r"model\.safetensors\.index\.json .*fetch the checkpoint again"):
        open_model(tmp_path)


@pytest.mark.parametrize("name", ["model.ckpt", "model.pt", "config.json", "model"])
def test_other_kinds_of_files_are_refused(name: str, tmp_path: Path):
    (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(ValueError, match=r"neither a \.safetensors file nor a pytorch_model\.bin"):
        open_model(tmp_path / name)


def test_an_empty_folder_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"holds no model\.safetensors or pytorch_model\.bin$"):
        open_model(tmp_path)
