"""From numbers to metrics, tables and figures, independent of models, suites and experiments."""

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from . import figures as figures
    from . import geometry as geometry
    from . import intervals as intervals
    from . import metrics as metrics
    from . import pareto as pareto
    from . import tables as tables
    from .affinity import own_and_other as own_and_other
    from .affinity import subspace_affinity as subspace_affinity
    from .at_once import product_of_gaussians as product_of_gaussians
    from .at_once import task_arithmetic_at_once as task_arithmetic_at_once
    from .at_once import ties_at_once as ties_at_once
    from .at_once import tsv_m_at_once as tsv_m_at_once
    from .at_once import wudi_at_once as wudi_at_once
    from .claims import Claim as Claim
    from .claims import checked_claims as checked_claims
    from .claims import claim_verdicts as claim_verdicts
    from .comparison import beside as beside
    from .comparison import comparison_table as comparison_table
    from .comparison import off_the_zoo as off_the_zoo
    from .everywhere import lead_table as lead_table
    from .everywhere import leads as leads
    from .hyperparameters import best_value as best_value
    from .hyperparameters import left_out_accuracies as left_out_accuracies
    from .intervals import bootstrap_interval as bootstrap_interval
    from .intervals import leads_over as leads_over
    from .intervals import pair_conclusions as pair_conclusions
    from .intervals import paired_differences as paired_differences
    from .judging import judgement as judgement
    from .method_table import method_facts as method_facts
    from .opcm_scale import scale_errors as scale_errors
    from .opcm_scale import scale_formulas as scale_formulas
    from .output_change import correlations_within as correlations_within
    from .projections import SHARES as SHARES
    from .projections import opcm_projections as opcm_projections
    from .projections import pooled_shares as pooled_shares
    from .reference_run import differing as differing
    from .reference_run import with_reference as with_reference
    from .runs import RUN as RUN
    from .runs import accuracy_array as accuracy_array
    from .runs import per_run_metrics as per_run_metrics
    from .runs import per_step_metrics as per_step_metrics
    from .spectra import layer_spectra as layer_spectra
    from .sweeps import order_extremes as order_extremes
    from .sweeps import sweep_summary as sweep_summary
    from .tuning import chosen_values as chosen_values
    from .tuning import gains_on as gains_on
    from .tuning import left_out_rows as left_out_rows
    from .tuning import tuned_summary as tuned_summary
    from .tuning import tuned_table as tuned_table
    from .two_zoos import geometry_of as geometry_of
    from .two_zoos import means_on_both as means_on_both
    from .two_zoos import rank_correlations as rank_correlations
    from .two_zoos import renumbered as renumbered
    from .two_zoos import side_by_side as side_by_side
    from .two_zoos import verdict_counts as verdict_counts

_HOMES = {
    "affinity": "own_and_other subspace_affinity",
    "claims": "Claim checked_claims claim_verdicts",
    "at_once": "product_of_gaussians task_arithmetic_at_once ties_at_once tsv_m_at_once wudi_at_once",
    "comparison": "beside comparison_table off_the_zoo",
    "everywhere": "lead_table leads",
    "figures": "figures",
    "geometry": "geometry",
    "hyperparameters": "best_value left_out_accuracies",
    "intervals": "intervals bootstrap_interval leads_over pair_conclusions paired_differences",
    "judging": "judgement",
    "method_table": "method_facts",
    "metrics": "metrics",
    "opcm_scale": "scale_errors scale_formulas",
    "reference_run": "differing with_reference",
    "output_change": "correlations_within",
    "pareto": "pareto",
    "runs": "RUN accuracy_array per_run_metrics per_step_metrics",
    "sweeps": "order_extremes sweep_summary",
    "tables": "tables",
    "tuning": "chosen_values gains_on left_out_rows tuned_summary tuned_table",
    "two_zoos": "geometry_of means_on_both rank_correlations renumbered side_by_side verdict_counts",
    "projections": "SHARES opcm_projections pooled_shares",
    "spectra": "layer_spectra",
}
__getattr__, __dir__, __all__ = lazy_names(__name__, _HOMES)
