"""From numbers to metrics, tables and figures, independent of models, suites and experiments."""

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from . import figures as figures
    from . import geometry as geometry
    from . import intervals as intervals
    from . import metrics as metrics
    from . import tables as tables
    from .comparison import beside as beside
    from .comparison import comparison_table as comparison_table
    from .intervals import bootstrap_interval as bootstrap_interval
    from .intervals import pair_conclusions as pair_conclusions
    from .intervals import paired_differences as paired_differences
    from .runs import RUN as RUN
    from .runs import accuracy_array as accuracy_array
    from .runs import per_run_metrics as per_run_metrics
    from .runs import per_step_metrics as per_step_metrics

_HOMES = {
    "comparison": "beside comparison_table",
    "figures": "figures",
    "geometry": "geometry",
    "intervals": "intervals bootstrap_interval pair_conclusions paired_differences",
    "metrics": "metrics",
    "runs": "RUN accuracy_array per_run_metrics per_step_metrics",
    "tables": "tables",
}
__getattr__, __dir__, __all__ = lazy_names(__name__, _HOMES)
