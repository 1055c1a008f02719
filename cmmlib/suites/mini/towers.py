"""Unpacking fine-tuned towers from the zoo into folders that transformers opens as a CLIPVisionModel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..zoos.checksums import tensors_hash
from .packing import unpack, vision_tensors


def write_tower(zoo: Path, task_name: str, folder: Path) -> None:
    """Write a tower's model.safetensors, with keys that start with `vision_model.`, and its config.json.

    Args:
        zoo: the backbone's folder in the zoo.
        folder: where to write, an existing folder.
    """
    from safetensors.numpy import load_file, save_file

    base = vision_tensors(load_file(zoo / "base" / "model.safetensors"))
    tower = unpack(base, load_file(zoo / "deltas" / f"{task_name}.safetensors"))
    save_file(tower, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(_config_text(zoo))


def written_tower_hash(zoo: Path, folder: Path) -> str:
    """Checksum of the tower in a folder, or "another configuration" if its config.json is not the zoo's.

    Args:
        zoo: the backbone's folder in the zoo.
    """
    from safetensors.numpy import load_file

    if (folder / "config.json").read_text() != _config_text(zoo):
        return "another configuration"
    return tensors_hash(load_file(folder / "model.safetensors"))


def vision_config(base: Path) -> dict[str, Any]:
    """The configuration of a CLIPVisionModel, made from that of the whole model in the folder `base`."""
    config = json.loads((base / "config.json").read_text())
    keep = {key: config[key] for key in ("dtype", "transformers_version") if key in config}
    return {"architectures": ["CLIPVisionModel"], **config["vision_config"], **keep}


def _config_text(zoo: Path) -> str:
    return json.dumps(vision_config(zoo / "base"), indent=2)
