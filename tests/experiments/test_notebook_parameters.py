"""What is injected into the notebooks."""

import pytest

from cmmlib.experiments.notebook_parameters import FIGURES, FULL, ORDERS, QUICK, first_orders
from cmmlib.experiments.reproduce import parameters_of
from cmmlib.paths import notebooks_dir

SETTINGS = {**FULL, "quick": QUICK, "figures": FIGURES}


@pytest.mark.parametrize("setting", SETTINGS)
def test_injected_parameters_exist_in_the_notebooks(setting):
    for name, parameters in SETTINGS[setting].items():
        known = parameters_of(notebooks_dir() / f"{name}.ipynb")
        assert {*parameters, "suite", "suite_options", "backbone", "out"} <= set(known)
        assert setting == "figures" or {"jobs", "ray", "device", "check"} <= set(known)


def test_fewer_orders_are_the_first_ones_and_leave_the_data_as_it_is():
    given = FULL["mini"]["03_accuracy_curves"]
    assert first_orders(given, 2) == {"seeds": {"8": [40, 41], "20": [40, 41]}, "adam_seeds": [40, 41]}
    assert first_orders(given, None) == given and given["seeds"]["8"] == ORDERS == list(range(40, 50))
