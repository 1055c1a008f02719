"""Continual task arithmetic: Ilharco et al., arXiv 2212.04089."""

from torch import Tensor

from .registry import Context, method


@method(paper="https://arxiv.org/abs/2212.04089", order_free=True, separable=True, elementwise=True)
def task_arithmetic(merged: Tensor, task_vector: Tensor, ctx: Context, *, scaling_factor: float = 0.3) -> Tensor:
    """M ← M + λ τ. Any shape.

    Args:
        scaling_factor: λ. Published: 0.3 for 8 tasks, 0.1 for 14 and 20.
    """
    if ctx.reference_compat:  # rounds as the published code does, which accumulates weights, not task vectors
        return (ctx.base + merged) + scaling_factor * task_vector - ctx.base
    return merged + scaling_factor * task_vector
