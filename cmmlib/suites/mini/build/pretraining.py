"""Pretraining a tiny CLIP on clean renderings of all tasks, with their captions."""

from __future__ import annotations

import math
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from tqdm import tqdm
from transformers import CLIPModel, CLIPTokenizer

from ...zoos.optimisation import batch_of, one_cycle, update
from ..render import draw, label_of
from ..tasks import SIDE, TASKS
from .architecture import SEED
from .embeddings import image_features, text_features
from .fourth import FOURTH, PRETRAINED

STEPS = {"ViT-mini/12": 5500, "ViT-mini/9": 5500, "ViT-mini-L/9": 3500}  # the larger tower learns more per step
PRETRAIN = {
    backbone: SimpleNamespace(per_task=4000, steps=steps, batch=192, lr=1e-3, weight_decay=0.05, save_every=250)
    for backbone, steps in STEPS.items()
} | {FOURTH: PRETRAINED}


def generic_images(path: Path, per_task: int) -> np.ndarray:
    """The pretraining set, uint8 [20 × per_task, 36, 36, 3], task after task; rendered once into `path`."""
    if not path.exists():
        images = np.empty((len(TASKS), per_task, SIDE, SIDE, 3), dtype=np.uint8)
        for t, task in enumerate(tqdm(TASKS, desc="rendering")):
            for i in range(per_task):
                images[t, i] = draw(task, "generic", i)
        partial = path.with_suffix(".partial.npy")
        np.save(partial, images.reshape(-1, *images.shape[2:]))
        os.replace(partial, path)
    return np.load(path)


def pretrain(
    model: CLIPModel, tokenizer: CLIPTokenizer, images: np.ndarray, how: SimpleNamespace, saved: Path, seed: int = SEED
) -> None:
    """Train both towers: each image against the captions of all classes, with one random template per class and step.

    Args:
        images: from `generic_images`.
        how: a value of `PRETRAIN`.
        saved: file of the training state, from which a stopped run goes on.
        seed: of the batches and of the templates.
    """
    names = list(dict.fromkeys(name for task in TASKS for name in task.class_names))
    targets = np.array([names.index(task.class_names[label_of(task, i)]) for task in TASKS for i in range(how.per_task)])
    captions: dict[str, list[str]] = {name: [] for name in names}
    for task in TASKS:
        for label, name in enumerate(task.class_names):
            captions[name] += task.prompts(label)
    optimizer = torch.optim.AdamW(model.parameters(), lr=how.lr, weight_decay=how.weight_decay)
    first = 0
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    bar = tqdm(range(first, how.steps), desc="pretraining", initial=first, total=how.steps)
    for step in bar:
        rows = batch_of(images, step, how.batch, seed=seed, purpose=1)
        choice = batch_of(names, step, len(names), seed=seed, purpose=2)
        texts = [captions[name][c % len(captions[name])] for name, c in zip(names, choice, strict=True)]
        tokens = tokenizer(texts, padding=True, return_tensors="pt")
        logits = model.logit_scale.exp() * image_features(model, images[rows]) @ text_features(model, tokens).T
        loss = cross_entropy(logits, torch.from_numpy(targets[rows]))
        update(optimizer, loss, one_cycle(step, how.steps, how.lr))
        with torch.no_grad():
            model.logit_scale.clamp_(max=math.log(100))
        if step % 50 == 0:
            bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        if (step + 1) % how.save_every == 0:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            torch.save(state, saved.with_suffix(".partial"))
            os.replace(saved.with_suffix(".partial"), saved)
