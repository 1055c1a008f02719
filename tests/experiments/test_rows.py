"""The rows of the main table."""

import pytest

from cmmlib.experiments.rows import label_of, published_rows


@pytest.mark.parametrize("num_tasks, factor", [(8, 0.3), (14, 0.1), (20, 0.1)])
def test_the_published_scaling_factor_depends_on_the_number_of_tasks(num_tasks, factor):
    rows = published_rows(num_tasks)
    assert rows["TIES"][1] == rows["Task arithmetic"][1] == {"scaling_factor": factor}


def test_a_row_is_known_by_its_method_however_its_parameters_are_written():
    for label, (method, params) in published_rows(20).items():
        assert label_of(method, params, 20) == label
    assert label_of("opcm", {"alpha": 0.5}, 8) == "OPCM" and label_of("opcm", {"alpha": 0.4}, 8) is None
    assert label_of("task_arithmetic", {"scaling_factor": 0.1}, 8) is None
    with pytest.raises(ValueError, match="alhpa"):
        label_of("opcm", {"alhpa": 0.5}, 8)
