"""What pretraining and fine-tuning share: batches, the learning rate and a step."""

from __future__ import annotations

import math
from collections.abc import Sized

import numpy as np
import torch


def one_cycle(step: int, steps: int, peak: float) -> float:
    """The learning rate at a step: a linear rise over the first tenth of the steps, then half a cosine down to zero."""
    rise = steps / 10
    return peak * (step / rise if step < rise else (1 + math.cos(math.pi * (step - rise) / (steps - rise))) / 2)


def batch_of(examples: Sized, step: int, size: int, *, seed: int, purpose: int) -> np.ndarray:
    """Indices of a training batch, int [size].  They depend on no earlier step, so a resumed run draws the same ones."""
    return np.random.Generator(np.random.PCG64([seed, purpose, step])).integers(len(examples), size=size)


def update(optimizer: torch.optim.Optimizer, loss: torch.Tensor, lr: float) -> None:
    """Take one step at learning rate `lr`, with the gradient clipped to norm 1."""
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 1.0)
    optimizer.step()
