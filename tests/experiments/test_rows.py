"""The rows of the main table."""

import pytest

from cmmlib.experiments.rows import DEFAULT_ROWS, all_rows, label_of, named_rows, table_rows
from cmmlib.methods import get_method, method_names

from ..helpers.own_method import write_fading


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


def test_rows_are_named_by_label_or_by_method(tmp_path, monkeypatch):
    name = write_fading(tmp_path)
    monkeypatch.chdir(tmp_path)
    given = ["OPCM", "kronecker", "my_methods.py:fading", "ties", "dop_all", "dop", "wudi", "opcm"]
    rows = named_rows(given, 14)
    assert list(rows) == ["OPCM", "Kronecker", "fading", "TIES", "DOP-all (v)", "DOP", "WUDI"]
    assert rows.pop("fading") == ("my_methods.py:fading", {}) and get_method("my_methods.py:fading").name == name
    assert all(row == all_rows(14)[label] for label, row in rows.items())
    chosen = table_rows(8, every_row=True, more={"mine": [name, {"fade": 0.3}]}, methods=["OPCM"])
    assert chosen == {"OPCM": ("opcm", {}), "mine": (name, {"fade": 0.3})}


def test_every_methods_name_stands_for_a_row():
    for method in method_names():
        assert [row[0] for row in named_rows([method], 20).values()] == [method]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["OPMC"],
            r"no row and unknown method 'OPMC'; known are .*; rows are Weight average, Task arithmetic, .*, Kronecker$",
        ),
        (
            ["a/my_methods.py:fading", "b/my_methods.py:fading"],
            "two rows would be called 'fading'; give one of them another",
        ),
        (["a/my_methods.py"], "say which of its functions: my_methods.py:fading"),
    ],
)
def test_names_of_no_row_are_refused(names, message, tmp_path, monkeypatch):
    for folder in ("a", "b"):
        write_fading(tmp_path / folder)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        named_rows(names, 8)
