"""Continual model merging: fine-tuned models arrive one after another, each is merged into one, none is kept."""

from typing import TYPE_CHECKING

from .lazy import lazy_names

if TYPE_CHECKING:
    from .analysis import metrics as metrics
    from .experiments.orders import task_order as task_order
    from .merging.merge import merge as merge
    from .merging.merge import merge_to as merge_to
    from .merging.merger import ContinualMerger as ContinualMerger
    from .merging.pareto import pareto_front as pareto_front
    from .methods import get_method as get_method
    from .methods import method as method
    from .methods import method_names as method_names
    from .version import __version__ as __version__

_HOMES = {
    "analysis.metrics": "metrics",
    "experiments.orders": "task_order",
    "merging.merge": "merge merge_to",
    "merging.merger": "ContinualMerger",
    "merging.pareto": "pareto_front",
    "methods": "get_method method method_names",
    "version": "__version__",
}
__getattr__, __dir__, _names = lazy_names(__name__, _HOMES)
__all__ = [name for name in _names if name != "__version__"]
