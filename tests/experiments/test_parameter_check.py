"""Parameters of the notebooks: what is right passes in silence, what is wrong is one line that shows the right form."""

import ast

import nbformat
import pytest
import yaml

from cmmlib.experiments import check_parameters
from cmmlib.experiments.notebook_parameters import FULL, QUICK, notebooks_of
from cmmlib.experiments.parameter_check import EXAMPLES, NOTEBOOKS
from cmmlib.paths import notebooks_dir


def defaults(notebook):
    """The names that a notebook's parameters cell sets, and their values."""
    cells = nbformat.read(notebooks_dir() / f"{notebook}.ipynb", 4).cells
    source = next(cell.source for cell in cells if "parameters" in cell.metadata.get("tags", []))
    values = {}
    exec(source, {"__builtins__": {}}, values)
    return values


def test_every_notebook_is_known():
    assert {*NOTEBOOKS} == {path.stem for path in notebooks_dir().glob("*.ipynb")}
    assert {name for names in NOTEBOOKS.values() for name in names.split()} == {*EXAMPLES}


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_a_notebook_checks_its_own_parameters_and_its_defaults_pass(notebook):
    values = defaults(notebook)
    assert {*values} == {*NOTEBOOKS[notebook].split()}
    check_parameters(values, notebook)
    cells = [cell for cell in nbformat.read(notebooks_dir() / f"{notebook}.ipynb", 4).cells if cell.cell_type == "code"]
    assert f'check_parameters(globals(), "{notebook}")' in cells[1].source


EVERYTHING = [notebooks_of(suite, everything=True, figures=True) for suite in FULL]


@pytest.mark.parametrize("setting", [*FULL.values(), *QUICK.values(), *EVERYTHING])
def test_what_reproduce_injects_passes(setting):
    for notebook, parameters in setting.items():
        check_parameters(defaults(notebook) | parameters, notebook)


def test_what_make_judgement_injects_passes():
    given = (notebooks_dir().parent / "Makefile").read_text().split("define JUDGEMENT\n")[1].split("endef")[0]
    parameters = yaml.safe_load(given)
    assert {*parameters} == {"zoos", "draws", "orders", "curves"}
    check_parameters(defaults("05_all_at_once") | parameters, "05_all_at_once")


@pytest.mark.parametrize(
    ("notebook", "given"),
    [
        (
            "02_main_table",
            {"seeds": range(40, 50), "num_tasks": (8,), "jobs": 3, "rows": {"mine": ("dop", {"alpha": "balanced"})}},
        ),
        ("03_accuracy_curves", {"seeds": {8: [40], "20": [41]}}),
        ("05_all_at_once", {"draws": {8: range(3)}, "zoos": {"mine": ("zoo", "ViT-mini/9")}, "more_backbones": []}),
        ("06_geometry", {"alpha": 1, "methods": ["OPCM", "DOP-exact (α=0.8)"], "out": notebooks_dir()}),
    ],
)
def test_other_spellings_of_the_right_form_pass(notebook, given):
    check_parameters(defaults(notebook) | given, notebook)


@pytest.mark.parametrize(
    ("notebook", "name", "value", "message"),
    [
        ("02_main_table", "seeds", "[40, 41]", r"seeds: expected a list of whole numbers, got '\[40, 41\]'"),
        ("02_main_table", "seeds", ["40"], r"seeds: expected a list of whole numbers, got \['40'\]"),
        ("02_main_table", "num_tasks", 8, "num_tasks: expected a list of whole numbers, got 8"),
        ("01_merge_sequence", "num_tasks", "8", "num_tasks: expected a whole number, got '8'"),
        ("02_main_table", "check", "false", "check: expected true or false, got 'false'"),
        ("02_main_table", "jobs", True, "jobs: expected a whole number, got True"),
        ("02_main_table", "seeds", "opcm", "seeds: expected a list of whole numbers, got 'opcm'"),
        ("02_main_table", "every_row", 1, "every_row: expected true or false, got 1"),
        ("03_accuracy_curves", "seeds", [40], "seeds: expected a mapping to lists of whole numbers"),
        ("06_geometry", "alpha", "0.5", "alpha: expected a number"),
        ("01_merge_sequence", "method", "opmc", "method: unknown method 'opmc'; known are .*opcm"),
        ("01_merge_sequence", "backbone", "ViT-H/14", "backbone: 'ViT-H/14' is unknown, known are ViT-mini/12"),
        ("02_main_table", "suite", "minni", "suite: 'minni' is unknown, known are mini, clip"),
        ("07_sweeps", "order_rows", ["OPMC"], "order_rows: no row and unknown method 'OPMC'; known are .*rows are .*OPCM"),
    ],
)
def test_what_is_wrong_is_one_line_with_the_right_form(notebook, name, value, message):
    with pytest.raises(ValueError, match=message) as error:
        check_parameters(defaults(notebook) | {name: value}, notebook)
    text = str(error.value)
    assert "\n" not in text and text.partition("with papermill: -y ")[2].startswith(f"'{{{name}: ")


def test_orders_may_be_given_by_the_name_of_a_paper():
    values = defaults("03_accuracy_curves") | {"seeds": {"8": "mingle", "20": [40]}, "adam_seeds": "dop"}
    check_parameters(values, "03_accuracy_curves")
    assert values["seeds"] == {"8": list(range(42, 52)), "20": [40]} and values["adam_seeds"] == list(range(40, 50))
    values = defaults("05_all_at_once") | {"orders": {8: "dop"}}
    check_parameters(values, "05_all_at_once")
    assert values["orders"] == {8: list(range(40, 50))}


def test_the_right_form_is_what_papermill_takes():
    import yaml

    with pytest.raises(ValueError) as error:
        check_parameters(defaults("02_main_table") | {"seeds": "[40, 41]"}, "02_main_table")
    shown = str(error.value).partition("-y ")[2]
    assert shown == "'{seeds: [40, 41]}'"
    check_parameters(defaults("02_main_table") | yaml.safe_load(ast.literal_eval(shown)), "02_main_table")


def test_a_misspelt_parameter_is_refused_and_a_readers_own_names_are_not():
    values = defaults("02_main_table")
    check_parameters({**values, "fading": 0.3, "helper": len, "In": [], "_": 1}, "02_main_table")
    with pytest.raises(ValueError, match="row: the notebook has no such parameter; did you mean 'rows'"):
        check_parameters({**values, "row": {}}, "02_main_table")
    checked = dict(values)
    check_parameters(checked, "02_main_table")
    check_parameters({**checked, "seed": 40}, "02_main_table")  # a later cell's, where the first is run again
