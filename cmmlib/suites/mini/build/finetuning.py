"""Fine-tuning a vision tower on the images of a task, or of several, with the text tower's head."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from itertools import accumulate
from types import SimpleNamespace

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import CLIPModel

from ...zoos.optimisation import batch_of, one_cycle, update
from ..render import draw, label_of
from ..tasks import MiniTask
from .architecture import SEED, VISION
from .embeddings import image_features
from .fourth import FINETUNED, FOURTH
from .handwriting import scans

FINETUNE = SimpleNamespace(images=4000, steps=500, batch=64, lr=1e-4, weight_decay=0.0)
FINETUNE_OF = dict.fromkeys(VISION, FINETUNE) | {FOURTH: FINETUNED}


def training_set(task: MiniTask, number: int) -> tuple[np.ndarray, torch.Tensor]:
    """The `number` images that a model is fine-tuned on, or all scans there are: uint8 [n, 36, 36, 3]; labels, int64 [n]."""
    shown = scans(task.name)["train"] if task.kind == "scan" else [None] * number
    images = np.stack([draw(task, "train", i, scan) for i, scan in enumerate(shown)])
    return images, torch.tensor([label_of(task, i) for i in range(len(images))])


def finetune(
    start: CLIPModel,
    heads: Sequence[torch.Tensor],
    tasks: Sequence[MiniTask],
    seed: int = SEED,
    how: SimpleNamespace = FINETUNE,
) -> CLIPModel:
    """A copy of a model whose vision tower is trained on one task, or on several jointly; the rest stays frozen.

    The loss of an image compares only the classes of its own task.  There are `how.steps` steps per task.

    Args:
        heads: class embeddings of each task, from `zero_shot_head`, in the order of the tasks.
        seed: of the order of the training images.
        how: a value of `FINETUNE_OF`.
    """
    model = copy.deepcopy(start)
    model.requires_grad_(False)
    model.vision_model.requires_grad_(True)
    sets = [training_set(task, how.images) for task in tasks]
    images, labels = np.concatenate([images for images, _ in sets]), torch.cat([labels for _, labels in sets])
    head = torch.cat(list(heads))
    owner = torch.arange(len(tasks)).repeat_interleave(torch.tensor([len(rows) for rows in heads]))  # task of each class
    task_of = torch.arange(len(tasks)).repeat_interleave(torch.tensor([len(labels) for _, labels in sets]))
    first = torch.tensor([0, *accumulate(len(rows) for rows in heads)])  # first class of each task
    steps = how.steps * len(tasks)
    optimizer = torch.optim.AdamW(model.vision_model.parameters(), lr=how.lr, weight_decay=how.weight_decay)
    for step in range(steps):
        rows = batch_of(images, step, how.batch, seed=seed, purpose=3)
        logits = model.logit_scale.exp() * image_features(model, images[rows]) @ head.T
        logits = logits.masked_fill(owner != task_of[rows, None], -math.inf)
        loss = cross_entropy(logits, first[task_of[rows]] + labels[rows])
        update(optimizer, loss, one_cycle(step, steps, how.lr))
    return model
