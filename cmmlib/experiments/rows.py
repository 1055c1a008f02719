"""The rows of the main table: methods and their hyper-parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..methods import get_method

Rows = dict[str, tuple[str, dict[str, Any]]]
"""Label → (method, hyper-parameters); defaults may be left out."""

DEFAULT_ROWS = (
    *("Weight average", "Task arithmetic", "TIES", "MagMax", "OPCM", "DOP", "DOP-exact (α=0.8)"),
    *("WUDI", "Kronecker"),
)
"""The rows that the table has unless all are asked for: those of the papers, of the newer methods that which leads in most
cells of the mini suite, and ours.

``DOP`` is the published solver, too slow for ten orders on a laptop; ``DOP-exact (α=0.8)`` stands for it there.  Left out
are variants of a row that is in, and the other newer methods.
"""


def all_rows(num_tasks: int) -> Rows:
    """Every row, in the order of the table, with the hyper-parameters published for this number of tasks, if any.

    ``DOP`` uses the published Adam solver, and the ``DOP-exact`` rows solve the same objective exactly.  ``Iso-C``,
    ``TSV-M``, ``ACTMat``, ``DOP-all`` and ``WUDI`` end where the batch method ends, one model at a time.  Not published are
    the ridges, the exact minimiser of ``WUDI``, the share of ``TSV-M``, λ = 1 of ``Iso-C``, convolutions merged like linear
    layers by these and ``ACTMat``, and the scaled ranks and closed form of ``NUFILT``, which is that of its paper: its code
    merges attention and fc1 only (``variant="code"``).
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
        "NUFILT": ("nufilt", {}),
        "Iso-C": ("iso_c", {}),
        "TSV-M (r/10)": ("tsv_m", {"share": 0.1}),
        "ACTMat": ("actmat", {}),
        "DOP-all (u)": ("dop_all", {"svd_proj_space": "u"}),
        "DOP-all (v)": ("dop_all", {"svd_proj_space": "v"}),
        "WUDI": ("wudi", {"pull": "zero"}),
        "Kronecker": ("kronecker", {}),
    }


def table_rows(
    num_tasks: int,
    every_row: bool = False,
    more: Mapping[str, Sequence[Any]] | None = None,
    methods: Iterable[str] | None = None,
) -> Rows:
    """The rows of a table: `DEFAULT_ROWS`, all, or those that are named, and a user's own below them.

    Args:
        more: label → [method, hyper-parameters]; a known label replaces that row.
        methods: see `named_rows`; where they are given, ``every_row`` does not count.

    Raises:
        ValueError, FileNotFoundError: as in `named_rows`.
    """
    rows = all_rows(num_tasks)
    own: Rows = {label: (method, params) for label, (method, params) in (more or {}).items()}
    if methods is not None:
        return named_rows(methods, num_tasks) | own
    return (rows if every_row else {label: rows[label] for label in DEFAULT_ROWS}) | own


def named_rows(names: Iterable[str], num_tasks: int) -> Rows:
    """The rows of these names, in their order.

    Args:
        names: labels of `all_rows`; or names of methods, also of one's own as ``path/to/file.py:function``.  A method stands
            for its row of the table, the one with its defaults where there are several.  One that has no row is called as
            its function is, and has its defaults.

    Raises:
        ValueError: an unknown name, or two rows of one label.
        FileNotFoundError: no such file.
    """
    table = all_rows(num_tasks)
    found: Rows = {}
    for name in names:
        label = name if name in table else _row_of(name)
        row = table.get(label, (name, {}))
        if found.setdefault(label, row) != row:
            raise ValueError(f"two rows would be called {label!r}; give one of them another label with rows")
    return found


def _row_of(name: str) -> str:
    """The label of the row of a method, whatever the number of tasks."""
    try:
        method = get_method(name)
    except ValueError as error:
        unknown = str(error).startswith("unknown method")
        raise ValueError(f"no row and {error}; rows are {', '.join(all_rows(8))}") if unknown else error from None
    labels = [label for label, (row, _) in all_rows(8).items() if row == method.name]
    if len(labels) == 1:
        return labels[0]
    return label_of(method.name, {}, 8) or method.name.rpartition(":")[2]


def label_of(method: str, params: dict[str, Any], num_tasks: int) -> str | None:
    """The label of the row with this method and these hyper-parameters, or None.

    Raises:
        ValueError: the method or a parameter is unknown.
    """
    wanted = (method, get_method(method).resolve(params))
    for label, (name, defaults) in all_rows(num_tasks).items():
        if wanted == (name, get_method(name).resolve(defaults)):
            return label
    return None
