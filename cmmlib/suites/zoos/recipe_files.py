"""Recipes in files: a hash of what a model was made from, stored with it, so that it is made again when that changes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file


def stored_recipe(path: Path) -> str | None:
    """The recipe in a safetensors file's metadata; None if there is no file, it cannot be read or it has no recipe."""
    if not path.exists():
        return None
    try:
        with safe_open(path, "numpy") as file:
            return (file.metadata() or {}).get("recipe")
    except SafetensorError:  # cut off or damaged: made again, as if it were not there
        return None


def save(tensors: dict[str, np.ndarray], path: Path, made_from: str, **notes: str) -> None:
    """Write a safetensors file with its recipe and notes, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path.with_suffix(".partial"), metadata={"format": "pt", "recipe": made_from, **notes})
    os.replace(path.with_suffix(".partial"), path)
