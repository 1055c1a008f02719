"""How the time of a merge is spent, by kind of operation."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

KINDS = ("eigh float64", "gemm float64", "gemm float32", "elementwise", "rest")
FACTORISATIONS = ("eigh", "cholesky", "qr", "svd", "solve_triangular")
PRODUCTS = ("mm", "addmm", "addmm_", "bmm", "baddbmm")


class Clock(TorchDispatchMode):
    """Measures the CPU seconds of this thread by kind of operation.

    `torch.profiler` does not distinguish float32 from float64.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        start = time.thread_time()
        result = function(*args, **(kwargs or {}))
        name = function.name().removeprefix("aten::").split(".")[0]
        dtype = str(next((x.dtype for x in args if isinstance(x, Tensor)), "")).removeprefix("torch.")
        kind = "elementwise"
        if any(word in name for word in FACTORISATIONS):
            kind = f"eigh {dtype}"
        elif name in PRODUCTS:
            kind = f"gemm {dtype}"
        self.seconds[kind] += time.thread_time() - start
        return result


def profiled(work: Callable[[], Any]) -> dict[str, float]:
    """CPU seconds of ``work`` on one thread, by `KINDS`.

    All factorisations count as eigh, and Python's own time as rest.  Other work on the machine is not counted.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with Clock() as clock:
            start = time.thread_time()
            work()
            total = time.thread_time() - start
    finally:
        torch.set_num_threads(threads)
    found = {kind: clock.seconds[kind] for kind in KINDS[:-1]}
    return found | {"rest": total - sum(found.values())}
