"""Merge methods: one file per published method, pure functions on tensors, one registry.

README.md in this folder has the formulas, the hyper-parameters and their sources.
"""

from . import dop, dop_all, magmax, opcm, task_arithmetic, ties, weight_average  # noqa: F401  (each registers itself)
from .registry import Context, Interval, Kind, Method, Value, get_method, method, method_names

__all__ = ["Context", "Interval", "Kind", "Method", "Value", "get_method", "method", "method_names"]
