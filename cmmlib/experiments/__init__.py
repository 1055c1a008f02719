"""The experiments: rows under orders, run in parallel and stored."""

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from .arrival_cost import arrival_costs as arrival_costs
    from .at_once import at_once_accuracies as at_once_accuracies
    from .distances import cap_distances as cap_distances
    from .distances import merge_distances as merge_distances
    from .distances import traces_of_arrivals as traces_of_arrivals
    from .family import CLAIMS as CLAIMS
    from .family import JUDGED as JUDGED
    from .family import MAIN as MAIN
    from .family import family_rows as family_rows
    from .family import final_accuracies as final_accuracies
    from .frames import accuracies as accuracies
    from .frames import reference_accuracies as reference_accuracies
    from .frames import trained_accuracies as trained_accuracies
    from .grid import run_grid as run_grid
    from .grid import work_left as work_left
    from .judgement import Design as Design
    from .judgement import judge as judge
    from .opcm_scale import measure_scale as measure_scale
    from .orders import ORDERS as ORDERS
    from .orders import order_seeds as order_seeds
    from .orders import task_order as task_order
    from .parameter_check import check_parameters as check_parameters
    from .pareto_study import layer_inputs as layer_inputs
    from .pareto_study import old_and_new as old_and_new
    from .pareto_study import output_changes as output_changes
    from .pareto_study import task_vectors as task_vectors
    from .ray_layers import RayLayers as RayLayers
    from .report import write_report as write_report
    from .rows import DEFAULT_ROWS as DEFAULT_ROWS
    from .rows import all_rows as all_rows
    from .rows import label_of as label_of
    from .rows import named_rows as named_rows
    from .rows import table_rows as table_rows
    from .runs import Run as Run
    from .runs import plan as plan
    from .runs import plan_table as plan_table
    from .sequence import run_references as run_references
    from .sequence import run_sequence as run_sequence
    from .store import Results as Results
    from .sweeps import Sweep as Sweep
    from .sweeps import plan_sweeps as plan_sweeps
    from .sweeps import swept as swept
    from .sweeps import with_parameter as with_parameter
    from .tuning import plan_chosen as plan_chosen
    from .tuning import published_values as published_values
    from .tuning import tuning_sweeps as tuning_sweeps
    from .zoo_vectors import TaskVectors as TaskVectors

_HOMES = {
    "at_once": "at_once_accuracies",
    "distances": "cap_distances merge_distances traces_of_arrivals",
    "arrival_cost": "arrival_costs",
    "family": "CLAIMS JUDGED MAIN family_rows final_accuracies",
    "frames": "accuracies reference_accuracies trained_accuracies",
    "grid": "run_grid work_left",
    "judgement": "Design judge",
    "opcm_scale": "measure_scale",
    "orders": "ORDERS order_seeds task_order",
    "pareto_study": "layer_inputs old_and_new output_changes task_vectors",
    "parameter_check": "check_parameters",
    "ray_layers": "RayLayers",
    "report": "write_report",
    "rows": "DEFAULT_ROWS all_rows label_of named_rows table_rows",
    "runs": "Run plan plan_table",
    "sequence": "run_references run_sequence",
    "store": "Results",
    "sweeps": "Sweep plan_sweeps swept with_parameter",
    "tuning": "plan_chosen published_values tuning_sweeps",
    "zoo_vectors": "TaskVectors",
}
__getattr__, __dir__, __all__ = lazy_names(__name__, _HOMES)
