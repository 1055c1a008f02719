"""The rows of the main table."""

import pytest

from cmmlib.experiments.rows import DEFAULT_ROWS, all_rows, label_of, table_rows
from cmmlib.methods import get_method, method_names


@pytest.mark.parametrize("num_tasks, factor", [(8, 0.3), (14, 0.1), (20, 0.1)])
def test_the_published_scaling_factor_depends_on_the_number_of_tasks(num_tasks, factor):
    rows = all_rows(num_tasks)
    assert rows["TIES"][1] == rows["Task arithmetic"][1] == {"scaling_factor": factor}


def test_a_row_is_known_by_its_method_however_its_parameters_are_written():
    for label, (method, params) in all_rows(20).items():
        assert label_of(method, params, 20) == label
    assert label_of("opcm", {"alpha": 0.5}, 8) == "OPCM" and label_of("opcm", {"alpha": 0.4}, 8) is None
    assert label_of("task_arithmetic", {"scaling_factor": 0.1}, 8) is None
    with pytest.raises(ValueError, match="alhpa"):
        label_of("opcm", {"alhpa": 0.5}, 8)


def test_every_method_has_a_row_and_no_two_rows_are_the_same():
    rows = all_rows(20)
    assert {method for method, _ in rows.values()} == set(method_names())
    resolved = [(method, sorted(get_method(method).resolve(params).items())) for method, params in rows.values()]
    assert all(resolved.count(row) == 1 for row in resolved)


def test_a_table_has_the_default_rows_or_all_and_a_users_own_below_them():
    assert tuple(table_rows(8)) == DEFAULT_ROWS and table_rows(8, every_row=True) == all_rows(8)
    places = [list(all_rows(8)).index(label) for label in DEFAULT_ROWS]
    assert places == sorted(places)  # one order for both tables
    more = table_rows(8, more={"mine": ["opcm", {"alpha": 0.3}], "TIES": ["ties", {"scaling_factor": 0.5}]})
    assert more["mine"] == ("opcm", {"alpha": 0.3}) and list(more)[-1] == "mine"
    assert more["TIES"] == ("ties", {"scaling_factor": 0.5}) and len(more) == len(DEFAULT_ROWS) + 1
