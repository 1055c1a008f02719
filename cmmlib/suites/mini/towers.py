"""Fine-tuned towers as transformers opens them: unpacked from the zoo into a folder of a CLIPVisionModel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .checksums import tensors_hash
from .packing import unpack, vision_tensors


def write_tower(zoo: Path, task_name: str, folder: Path) -> None:
    """Write model.safetensors (keys with `vision_model.`) and config.json; `zoo` is a backbone's folder in it."""
    from safetensors.numpy import load_file, save_file

    base = vision_tensors(load_file(zoo / "base" / "model.safetensors"))
    tower = unpack(base, load_file(zoo / "deltas" / f"{task_name}.safetensors"))
    save_file(tower, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(_config_text(zoo))


def written_tower_hash(zoo: Path, folder: Path) -> str:
    """Checksum of the tower in a folder, as the zoo has it; something else where its configuration is not the zoo's."""
    from safetensors.numpy import load_file

    if (folder / "config.json").read_text() != _config_text(zoo):
        return "another configuration"
    return tensors_hash(load_file(folder / "model.safetensors"))


def vision_config(base: Path) -> dict[str, Any]:
    """The config.json of a vision tower alone, from the folder of the whole model."""
    config = json.loads((base / "config.json").read_text())
    keep = {key: config[key] for key in ("dtype", "transformers_version") if key in config}
    return {"architectures": ["CLIPVisionModel"], **config["vision_config"], **keep}


def _config_text(zoo: Path) -> str:
    return json.dumps(vision_config(zoo / "base"), indent=2)
