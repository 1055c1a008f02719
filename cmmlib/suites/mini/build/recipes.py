"""Recipes: a hash of what a model of the mini suite is made from."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

from transformers import CLIPModel, CLIPTokenizer

from ...zoos.checksums import tensors_hash
from ..generic_looks import GENERIC_CONTRAST, GENERIC_NOISE
from ..tasks import TASKS, MiniTask
from .architecture import BASE_SEEDS, PROJECTION, SEED, TEXT, VISION, arrays
from .finetuning import FINETUNE_OF
from .pretraining import PRETRAIN


def recipe(backbone: str, *ingredients: object, seed: int = SEED) -> str:
    """SHA-256 of what a model is made from: seed, shapes of the backbone and `ingredients`."""
    return sha256(repr((seed, VISION[backbone], TEXT, PROJECTION, *ingredients)).encode()).hexdigest()


def pictures(out: Path) -> tuple[Any, ...]:
    """What the pretraining images depend on.  The tasks' own domains are not part of it."""
    drawn = [(task.name, task.class_names, task.templates, task.kind) for task in TASKS]
    looks = (GENERIC_CONTRAST, GENERIC_NOISE)
    return drawn, looks, sha256((out / "assets.npz").read_bytes()).hexdigest()


def base_recipe(out: Path, backbone: str, tokenizer: CLIPTokenizer) -> str:
    """The recipe of a pretrained base."""
    words = sorted(tokenizer.get_vocab().items())
    drawn, *rest = pictures(out)
    seed = BASE_SEEDS.get(backbone, SEED)
    return recipe(backbone, drawn, words, PRETRAIN[backbone], *rest, seed=seed)


def delta_recipe(backbone: str, base: CLIPModel, task: MiniTask, seed: int = SEED) -> str:
    """The recipe of the tower fine-tuned on a task."""
    return recipe(backbone, tensors_hash(arrays(base)), task, FINETUNE_OF[backbone], seed=seed)
