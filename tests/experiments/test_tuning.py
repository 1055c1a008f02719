"""Which runs λ is chosen by, and which are reported."""

import pytest

from cmmlib.experiments.tuning import plan_chosen, published_values, tuning_sweeps

PUBLISHED = {("TIES", 8): 0.3, ("MagMax", 8): 0.5, ("TIES", 20): 0.1, ("MagMax", 20): 0.5}


def test_published_values_are_those_of_the_main_table_defaults_included():
    assert published_values(["TIES", "MagMax"], [8, 20], "scaling_factor") == PUBLISHED
    with pytest.raises(KeyError):
        published_values(["OPCM"], [8], "scaling_factor")


def test_the_published_value_is_always_tried_and_one_order_stands_for_all_where_it_does_not_matter():
    sweeps = tuning_sweeps(PUBLISHED, "scaling_factor", [0.4, 0.3], [50, 51], free=["MagMax"])
    assert list(sweeps) == [8, 20] and list(sweeps[8]) == ["TIES", "MagMax"]
    assert sweeps[8]["TIES"].values == [0.3, 0.4] and sweeps[20]["TIES"].values == [0.1, 0.3, 0.4]
    assert sweeps[8]["TIES"].seeds == [50, 51] and sweeps[8]["MagMax"].seeds == [50]
    assert sweeps[20]["TIES"].method == "ties" and sweeps[20]["TIES"].parameter == "scaling_factor"


def test_reported_are_both_rows_of_each_baseline_and_the_others_as_published():
    runs = plan_chosen({("TIES", 8): 0.7, ("TIES", 20): 0.2}, "scaling_factor", [40, 41], others=["OPCM"])
    assert [(run.num_tasks, run.label, run.params, run.seed) for run in runs[:6]] == [
        (8, "TIES", {"scaling_factor": 0.3}, 40),
        (8, "TIES (λ chosen)", {"scaling_factor": 0.7}, 40),
        (8, "TIES", {"scaling_factor": 0.3}, 41),
        (8, "TIES (λ chosen)", {"scaling_factor": 0.7}, 41),
        (8, "OPCM", {}, 40),
        (8, "OPCM", {}, 41),
    ]
    assert [(run.num_tasks, run.params) for run in runs[6:8]] == [(20, {"scaling_factor": v}) for v in (0.1, 0.2)]
    assert len(runs) == 12
