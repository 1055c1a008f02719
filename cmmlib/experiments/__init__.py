"""The protocol: which rows under which orders, run in parallel, stored, and set beside each other."""

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from .frames import accuracies as accuracies
    from .frames import reference_accuracies as reference_accuracies
    from .frames import trained_accuracies as trained_accuracies
    from .grid import run_grid as run_grid
    from .grid import work_left as work_left
    from .hyperparameters import best_value as best_value
    from .hyperparameters import left_out_accuracies as left_out_accuracies
    from .orders import task_order as task_order
    from .parameter_check import check_parameters as check_parameters
    from .ray_layers import RayLayers as RayLayers
    from .report import write_report as write_report
    from .rows import label_of as label_of
    from .rows import published_rows as published_rows
    from .runs import Run as Run
    from .runs import plan as plan
    from .sequence import run_references as run_references
    from .sequence import run_sequence as run_sequence
    from .store import Results as Results

_HOMES = {
    "frames": "accuracies reference_accuracies trained_accuracies",
    "grid": "run_grid work_left",
    "hyperparameters": "best_value left_out_accuracies",
    "orders": "task_order",
    "parameter_check": "check_parameters",
    "ray_layers": "RayLayers",
    "report": "write_report",
    "rows": "label_of published_rows",
    "runs": "Run plan",
    "sequence": "run_references run_sequence",
    "store": "Results",
}
__getattr__, __dir__, __all__ = lazy_names(__name__, _HOMES)
