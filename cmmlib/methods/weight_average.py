"""Running weight average (stochastic weight averaging, SWA): Izmailov et al., arXiv 1803.05407."""

from torch import Tensor

from .registry import Context, method


@method(paper="https://arxiv.org/abs/1803.05407", order_free=True, keeps_first=True, separable=True, elementwise=True)
def weight_average(merged: Tensor, task_vector: Tensor, ctx: Context) -> Tensor:
    """M ← M + (τ − M)/t: after t models the mean of their task vectors. Any shape."""
    if ctx.reference_compat:
        # the published code averages weights, not task vectors: its rounding shows where |τ| ≪ |W0| (norm layers)
        weights = ((ctx.t - 1) * (ctx.base + merged) + (ctx.base + task_vector)) / ctx.t
        return weights - ctx.base
    return merged + (task_vector - merged) / ctx.t
