"""What is no model is named for what it is, with the way out."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import save_file

from cmmlib.models import open_model

from ..helpers.models import STATE, sharded

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 1234567\n"

KINDS = [
    ("model-Q4_K_M.gguf", r"GGUF weights \(llama\.cpp\), mostly quantised: use the safetensors model"),
    ("model.pt", r"a PyTorch pickle: if it holds a state dict and nothing else, give it a name that ends in \.bin"),
    ("model.pth", "a PyTorch pickle"),
    ("epoch=3.ckpt", r"a training checkpoint \(PyTorch Lightning or TensorFlow\)"),
    ("tf_model.h5", r"TensorFlow weights: load them with transformers 4 \(from_pretrained with from_tf=True\)"),
    ("flax_model.msgpack", "Flax weights: .*from_flax=True"),
    ("model.onnx", "an ONNX graph: use the model that it was exported from"),
]


@pytest.mark.parametrize(("name", "message"), KINDS)
def test_weights_of_other_formats_are_named(name: str, message: str, tmp_path: Path):
    (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(
        FileNotFoundError, match=rf"holds no model\.safetensors or pytorch_model\.bin, but {name}, {message}"
    ):
        open_model(tmp_path)
    what, _, way = message.partition(": ")
    with pytest.raises(ValueError, match=rf"{name} is {what}, neither .*{way}"):
        open_model(tmp_path / name)


def test_adapter_weights_without_their_configuration_are_named(tmp_path: Path):
    save_file(STATE, tmp_path / "adapter_model.safetensors")
    with pytest.raises(FileNotFoundError, match=r"the weights of an adapter without its adapter_config\.json"):
        open_model(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "model.safetensors.index.json"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (POINTER, r"is a Git LFS pointer, not the file itself.*run `git lfs pull` in "),
        ("", r"is empty \(0 bytes\), as a download that broke off leaves it; fetch it again"),
        ("\n<!DOCTYPE html><html>", "is a web page, not the file itself"),
    ],
)
def test_what_stands_in_a_files_place_is_named(name: str, content: str, message: str, tmp_path: Path):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=name + " " + message):
        open_model(tmp_path)


def test_a_pointer_among_shards_is_named(tmp_path: Path):
    (sharded(tmp_path) / "model-00002-of-00002.safetensors").write_text(POINTER)
    with pytest.raises(ValueError, match=r"model-00002-of-00002\.safetensors is a Git LFS pointer"):
        open_model(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "model-00002-of-00002.safetensors", "config.json"])
def test_a_link_to_nothing_is_named(name: str, tmp_path: Path):
    if name == "model.safetensors":
        save_file(STATE, tmp_path / "pytorch_model.bin")  # which is not taken in its stead
    else:
        sharded(tmp_path)
    (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / name).symlink_to(tmp_path / "blobs" / "0123")
    with pytest.raises(
        FileNotFoundError, match=rf"{name} is a symbolic link to .*0123, which is not there; fetch the file again"
    ):
        open_model(tmp_path)


@pytest.mark.parametrize(
    "left", ["model.safetensors.incomplete", ".cache/huggingface/download/abc.incomplete", "../../blobs/abc.incomplete"]
)
def test_a_download_that_broke_off_is_named(left: str, tmp_path: Path):
    folder = tmp_path / "models--lab--one" / "snapshots" / "0123"
    folder.mkdir(parents=True)
    (folder / left).resolve().parent.mkdir(parents=True, exist_ok=True)
    (folder / left).resolve().write_bytes(b"half")
    with pytest.raises(FileNotFoundError, match=r"\(a download broke off and left .*\.incomplete: fetch the model again\)"):
        open_model(folder)
    (sharded(folder) / "model-00001-of-00002.safetensors").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"names the shard 'model-00001.*does not lie beside it \(a download broke off"
    ):
        open_model(folder)
