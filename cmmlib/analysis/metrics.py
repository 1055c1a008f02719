"""What continual merging is judged by: pure functions on accuracy arrays.

``R`` has the shape [..., steps, tasks], tasks in the order of merging: ``R[..., t, i]`` is the accuracy on the i-th task
after t + 1 models were merged.  Leading axes (orders, methods) are kept.  NaN marks what was not measured; a metric that
needs it is NaN.  Accuracies may be fractions or per cent: results come in the same unit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray


def average_accuracy(R: ArrayLike) -> NDArray:
    """ACC, shape [...]: mean accuracy of the final model over all tasks (OPCM eq. 13)."""
    return _matrix(R)[..., -1, :].mean(-1)


def backward_transfer(R: ArrayLike) -> NDArray:
    """BWT, shape [...]: mean over all but the last task of R[T, i] − R[i, i]; NaN for a single task.

    Lopez-Paz & Ranzato, arXiv 1706.08840.  Negative values are forgetting.
    """
    R = _matrix(R)
    return _mean_over_tasks(R[..., -1, :-1] - _diagonal(R)[..., :-1])


def forgetting(R: ArrayLike) -> NDArray:
    """Shape [...]: mean over all but the last task of the best accuracy it ever had before the end minus the final one.

    Chaudhry et al., arXiv 1801.10112.  The best is taken over steps from the task's own merging on; NaN for one task.
    """
    R = _matrix(R)
    steps, tasks = R.shape[-2:]
    merged = np.tril(np.ones((steps, tasks), dtype=bool))[:-1, :-1]
    best = np.max(np.where(merged, R[..., :-1, :-1], -np.inf), axis=-2, initial=-np.inf)
    return _mean_over_tasks(best - R[..., -1, :-1])


def plasticity(R: ArrayLike) -> NDArray:
    """Shape [...]: mean accuracy on each task just after it was merged, the mean of the diagonal."""
    return _diagonal(_matrix(R)).mean(-1)


def normalized_accuracy(R: ArrayLike, individual: ArrayLike) -> NDArray:
    """Shape [...]: mean over tasks of the final accuracy divided by that of the task's own fine-tuned model.

    NaN where one of these got nothing right, as can happen on a handful of images.

    Args:
        individual: shape [..., tasks], in the same task order as ``R``.
    """
    individual = np.asarray(individual, dtype=float)
    return (_matrix(R)[..., -1, :] / np.where(individual > 0, individual, np.nan)).mean(-1)


def seen_accuracy(R: ArrayLike) -> NDArray:
    """Shape [..., steps]: mean accuracy over the tasks merged so far, the papers' curves."""
    return _masked_mean(_matrix(R), np.tri)


def unseen_accuracy(R: ArrayLike) -> NDArray:
    """Shape [..., steps]: mean accuracy over the tasks not merged yet, what merging leaves of zero-shot; last is NaN."""
    return _masked_mean(_matrix(R), lambda steps, tasks: 1 - np.tri(steps, tasks))


def forward_transfer(R: ArrayLike, pretrained: ArrayLike) -> NDArray:
    """Shape [...]: mean over all but the first task of its accuracy just before it is merged minus the pretrained one.

    Lopez-Paz & Ranzato, arXiv 1706.08840.  NaN for a single task.

    Args:
        pretrained: shape [..., tasks], in the same task order as ``R``.
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
