"""The rows of the main table: which method under which published hyper-parameters."""

from __future__ import annotations

from typing import Any

from ..methods import get_method

Rows = dict[str, tuple[str, dict[str, Any]]]
"""Label → (method, hyper-parameters); hyper-parameters may leave out defaults."""


def published_rows(num_tasks: int) -> Rows:
    """The rows of the main table: label → (method, hyper-parameters) as published for that number of tasks.

    ``DOP`` is the published Adam solver; the ``DOP-exact`` rows solve the same objective exactly,
    and ``DOP-all`` that of all tasks at once.
    """
    scaling = {"scaling_factor": 0.3 if num_tasks <= 8 else 0.1}
    return {
        "Weight average": ("weight_average", {}),
        "Task arithmetic": ("task_arithmetic", scaling),
        "TIES": ("ties", scaling),
        "MagMax": ("magmax", {}),
        "OPCM (first version)": ("opcm", {"zero_diagonal": False}),
        "OPCM": ("opcm", {}),
        "DOP": ("dop", {}),
        "DOP-exact (α=0.8)": ("dop", {"solver": "exact", "alpha": 0.8}),
        "DOP-exact (balanced)": ("dop", {"solver": "exact", "alpha": "balanced"}),
        "DOP-all (u)": ("dop_all", {}),
    }


def label_of(method: str, params: dict[str, Any], num_tasks: int) -> str | None:
    """The label of the published row that a method with these hyper-parameters is, if it is one.

    Raises:
        ValueError: an unknown method or parameter.
    """
    wanted = (method, get_method(method).resolve(params))
    for label, (name, defaults) in published_rows(num_tasks).items():
        if wanted == (name, get_method(name).resolve(defaults)):
            return label
    return None
