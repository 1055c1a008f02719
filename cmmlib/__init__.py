"""Continual model merging: fine-tuned models arrive one after another, each is merged into one, none is kept."""

from importlib.metadata import PackageNotFoundError, version

from . import metrics
from .merger import ContinualMerger, merge
from .methods import get_method, method, method_names
from .orders import task_order
from .pareto import pareto_front

try:
    __version__ = version("cmmlib")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0+unknown"

__all__ = ["ContinualMerger", "get_method", "merge", "method", "method_names", "metrics", "pareto_front", "task_order"]
