"""Merge methods: one file per published method, pure functions on tensors, one registry.

README.md in this folder has the formulas, the hyper-parameters and their sources.
"""

from . import (  # noqa: F401  (each registers itself)
    actmat,
    dop,
    dop_all,
    iso_c,
    kronecker,
    magmax,
    nufilt,
    opcm,
    task_arithmetic,
    ties,
    tsv_m,
    weight_average,
    wudi,
)
from .finding import get_method, method_names
from .registry import Context, Interval, Kind, Method, Value, method

__all__ = ["Context", "Interval", "Kind", "Method", "Value", "get_method", "method", "method_names"]
