"""The rows of the main table: methods and their published hyper-parameters."""

from __future__ import annotations

from typing import Any

from ..methods import get_method

Rows = dict[str, tuple[str, dict[str, Any]]]
"""Label → (method, hyper-parameters); defaults may be left out."""


def published_rows(num_tasks: int) -> Rows:
    """The rows of the main table, with the hyper-parameters published for this number of tasks.

    ``DOP`` uses the published Adam solver.  The ``DOP-exact`` rows solve the same objective exactly, and ``DOP-all`` the
    joint objective of all tasks.
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
        "DOP-all (u)": ("dop_all", {"svd_proj_space": "u"}),
    }


def label_of(method: str, params: dict[str, Any], num_tasks: int) -> str | None:
    """The label of the published row with this method and these hyper-parameters, or None.

    Raises:
        ValueError: the method or a parameter is unknown.
    """
    wanted = (method, get_method(method).resolve(params))
    for label, (name, defaults) in published_rows(num_tasks).items():
        if wanted == (name, get_method(name).resolve(defaults)):
            return label
    return None
