"""Files that hold weights but are not read, named for what they are, with the way out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

_FLAX_OR_TF = "load them with transformers 4 (from_pretrained with {}=True) and save them with save_pretrained"
_SAVE = "write its tensors with safetensors.torch.save_file"
_RENAME = "if it holds a state dict and nothing else, give it a name that ends in .bin: it is read without running code"
FOREIGN = {
    ".gguf": ("GGUF weights (llama.cpp), mostly quantised", "use the safetensors model that they were made from"),
    ".pt": ("a PyTorch pickle", _RENAME),
    ".pth": ("a PyTorch pickle", _RENAME),
    ".ckpt": ("a training checkpoint (PyTorch Lightning or TensorFlow)", f"load it with what wrote it and {_SAVE}"),
    ".h5": ("TensorFlow weights", _FLAX_OR_TF.format("from_tf")),
    ".msgpack": ("Flax weights", _FLAX_OR_TF.format("from_flax")),
    ".onnx": ("an ONNX graph", "use the model that it was exported from"),
}
"""Ending of a file's name → what it is, and what to do."""

SHARD = re.compile(r"(?P<stem>.+)-\d{5}-of-(?P<count>\d{5})(?P<kind>\.safetensors|\.bin)")
"""One file of several, as transformers names them."""

_UNFINISHED = (".incomplete", ".part", ".crdownload", ".aria2")


def not_weights(path: Path) -> ValueError:
    """The error for a file that was given as a model and is not of a kind that is read."""
    if path.name.endswith(".index.json"):
        return ValueError(f"{path} is an index of shards; give the folder {path.parent}")
    what, way = FOREIGN.get(path.suffix.lower(), ("", ""))
    return ValueError(
        f"{path} is {what + ', ' if what else ''}neither a .safetensors file nor a pytorch_model.bin"
        + (f": {way}" if way else "")
    )


def no_weights(label: str, names: Iterable[str]) -> FileNotFoundError:
    """The error for a folder or repository without weights that are read: what it holds instead.

    Args:
        label: the folder or hub id.
        names: of its files.
    """
    names = sorted(name for name in names if "/" not in name)
    shards = [name for name in names if SHARD.fullmatch(name)]
    safetensors = [name for name in names if name.endswith(".safetensors") and name not in shards]
    message = f"{label} holds no model.safetensors or pytorch_model.bin"
    if shards:
        match = SHARD.fullmatch(shards[0])
        assert match is not None
        message += (
            f", but shards ({shards[0]}, …) without their index {match['stem']}{match['kind']}.index.json: fetch it too"
        )
    elif "adapter_model.safetensors" in names or "adapter_model.bin" in names:
        message += ", but the weights of an adapter without its adapter_config.json: fetch it too"
    elif safetensors:
        one = len(safetensors) == 1
        message += f", but {safetensors[0]}: name" if one else f", and {len(safetensors)} other .safetensors files: name"
        message += " that file itself" if one else " one of them"
    elif foreign := [name for name in names if Path(name).suffix.lower() in FOREIGN]:
        what, way = FOREIGN[Path(foreign[0]).suffix.lower()]
        message += f", but {foreign[0]}, {what}: {way}"
    return FileNotFoundError(message)


def unfinished(folder: Path) -> str:
    """What to add to a message on a missing file: the download that broke off, if one did; else nothing."""
    places = [folder, folder / ".cache" / "huggingface" / "download"]
    if folder.parent.name == "snapshots":  # of the hub's cache
        places.append(folder.parents[1] / "blobs")
    for place in places:
        for path in sorted(place.iterdir()) if place.is_dir() else ():
            if path.suffix in _UNFINISHED:
                return f" (a download broke off and left {path.name}: fetch the model again)"
    return ""


def require_target(path: Path) -> None:
    """Raises FileNotFoundError for a symbolic link to nothing, as a hub cache that lost a blob holds."""
    if path.is_symlink() and not path.exists():
        raise FileNotFoundError(
            f"{path} is a symbolic link to {path.readlink()}, which is not there{unfinished(path.parent)}; fetch the file "
            "again"
        )
