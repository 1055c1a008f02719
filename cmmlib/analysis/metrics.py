"""The metrics of continual merging, as pure functions of accuracy arrays.

``R`` has the shape [..., steps, tasks], with the tasks in the order of merging and one step per task: ``R[..., t, i]`` is
the accuracy on task i after t + 1 models are merged (both from 0).  Leading axes (orders, methods) are kept.  NaN marks
what was not measured, and makes every metric that needs it NaN.  Results have the unit of ``R``, a fraction or per cent,
except for `normalized_accuracy`, which is a ratio.  An ``R`` of another shape is a ValueError.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray


def average_accuracy(R: ArrayLike) -> NDArray:
    """ACC, shape [...]: the mean accuracy of the final model over all tasks (OPCM eq. 13)."""
    return _matrix(R)[..., -1, :].mean(-1)


def backward_transfer(R: ArrayLike) -> NDArray:
    """Backward transfer (BWT), shape [...]: the mean over all but the last task of R[T, i] − R[i, i], T the last step.

    Negative values mean forgetting.  NaN for a single task.  Lopez-Paz & Ranzato, arXiv 1706.08840.
    """
    R = _matrix(R)
    return _mean_over_tasks(R[..., -1, :-1] - _diagonal(R)[..., :-1])


def forgetting(R: ArrayLike) -> NDArray:
    """Forgetting, shape [...]: the mean over all but the last task of its best earlier accuracy minus its final one.

    The best is over the steps from the task's own merge to the last but one.  NaN for a single task.  Chaudhry et al.,
    arXiv 1801.10112.
    """
    R = _matrix(R)
    steps, tasks = R.shape[-2:]
    merged = np.tril(np.ones((steps, tasks), dtype=bool))[:-1, :-1]
    best = np.max(np.where(merged, R[..., :-1, :-1], -np.inf), axis=-2, initial=-np.inf)
    return _mean_over_tasks(best - R[..., -1, :-1])


def plasticity(R: ArrayLike) -> NDArray:
    """Plasticity, shape [...]: the mean accuracy on each task just after its merge, the mean of the diagonal."""
    return _diagonal(_matrix(R)).mean(-1)


def normalized_accuracy(R: ArrayLike, individual: ArrayLike) -> NDArray:
    """Normalised accuracy, shape [...]: the mean over tasks of the final accuracy over the individual model's.

    It is a ratio.  NaN if an individual model has accuracy 0, as can happen with few images.

    Args:
        individual: accuracies of the individual models, [..., tasks], in the task order and unit of ``R``.
    """
    individual = np.asarray(individual, dtype=float)
    return (_matrix(R)[..., -1, :] / np.where(individual > 0, individual, np.nan)).mean(-1)


def seen_accuracy(R: ArrayLike) -> NDArray:
    """Seen accuracy, shape [..., steps]: the mean accuracy over the tasks merged so far, as in the papers' curves."""
    return _masked_mean(_matrix(R), np.tri)


def unseen_accuracy(R: ArrayLike) -> NDArray:
    """Unseen accuracy, shape [..., steps]: the mean accuracy over the tasks not merged yet; NaN at the last step.

    It shows how much of the zero-shot accuracy merging keeps.
    """
    return _masked_mean(_matrix(R), lambda steps, tasks: 1 - np.tri(steps, tasks))


def forward_transfer(R: ArrayLike, pretrained: ArrayLike) -> NDArray:
    """Forward transfer, shape [...]: the mean over all but the first task of R[i − 1, i] minus the pretrained accuracy.

    NaN for a single task.  Lopez-Paz & Ranzato, arXiv 1706.08840.

    Args:
        pretrained: accuracies of the pretrained model, [..., tasks], in the task order and unit of ``R``.
    """
    R = _matrix(R)
    before = np.diagonal(R, offset=1, axis1=-2, axis2=-1)
    return _mean_over_tasks(before - np.asarray(pretrained, dtype=float)[..., 1:])


def _matrix(R: ArrayLike) -> NDArray:
    R = np.asarray(R, dtype=float)
    if R.ndim < 2 or R.shape[-1] != R.shape[-2] or not R.shape[-1]:
        raise ValueError(f"R: expected shape [..., steps, tasks] with one step per task, got {R.shape}")
    return R


def _diagonal(R: NDArray) -> NDArray:
    return np.diagonal(R, axis1=-2, axis2=-1)


def _mean_over_tasks(values: NDArray) -> NDArray:
    return values.mean(-1) if values.shape[-1] else np.full(values.shape[:-1], np.nan)


def _masked_mean(R: NDArray, cells: Callable[[int, int], NDArray]) -> NDArray:
    mask = cells(*R.shape[-2:]).astype(bool)
    count = mask.sum(-1)
    total = np.where(mask, R, 0).sum(-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
