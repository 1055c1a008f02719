"""What is injected into the notebooks."""

import pytest

from cmmlib.experiments.notebook_parameters import FIGURES, FULL, QUICK, SEEDS, with_orders
from cmmlib.experiments.orders import ORDERS
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
    assert with_orders(given, 2) == {"seeds": {"8": [40, 41], "20": [40, 41]}, "adam_seeds": [40, 41]}
    assert with_orders(given, None) == given and given["seeds"]["8"] == SEEDS == list(range(40, 50))


def test_another_papers_orders_take_the_place_of_ours_one_by_one():
    given = FULL["mini"]["03_accuracy_curves"]
    mingle = list(range(42, 52))
    assert with_orders(given, "mingle") == {"seeds": {"8": mingle, "20": mingle[:3]}, "adam_seeds": mingle[:3]}
    assert with_orders(given, "dop") == given


def test_orders_that_hyper_parameters_are_chosen_on_are_reported_by_no_paper():
    tuning = FIGURES["10_fair_baselines"]["tuning_seeds"]
    assert not {seed for seeds in ORDERS.values() for seed in seeds} & {*tuning}
    assert with_orders(FIGURES["10_fair_baselines"], "mingle")["tuning_seeds"] == tuning
