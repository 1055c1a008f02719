"""What is injected into the notebooks."""

import pytest

from cmmlib.experiments.notebook_parameters import FIGURES, FULL, QUICK, SEEDS, adapted, notebooks_of
from cmmlib.experiments.orders import ORDERS
from cmmlib.experiments.reproduce import parameters_of
from cmmlib.paths import notebooks_dir

SETTINGS = {
    **FULL,
    **{f"{name} quick": quick for name, quick in QUICK.items()},
    **{f"{name} figures": figures for name, figures in FIGURES.items()},
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_injected_parameters_exist_in_the_notebooks(setting):
    for name, parameters in SETTINGS[setting].items():
        known = parameters_of(notebooks_dir() / f"{name}.ipynb")
        assert {*parameters, "suite", "suite_options", "backbone", "out"} <= set(known)
        assert setting.endswith("figures") or name == "06_geometry" or {"jobs", "ray", "device", "check"} <= set(known)


def test_fewer_orders_are_the_first_ones_and_leave_the_data_as_it_is():
    given = notebooks_of("mini", figures=True)["03_accuracy_curves"]
    assert adapted(given, orders=2) == {"seeds": {"8": [40, 41], "20": [40, 41]}, "adam_seeds": [40, 41]}
    assert adapted(given) == given and given["seeds"]["8"] == SEEDS == list(range(40, 50))


def test_another_papers_orders_take_the_place_of_ours_one_by_one():
    given = notebooks_of("mini", figures=True)["03_accuracy_curves"]
    mingle = list(range(42, 52))
    assert adapted(given, seeds="mingle") == {"seeds": {"8": mingle, "20": mingle[:3]}, "adam_seeds": mingle[:3]}
    assert adapted(given, seeds="dop") == given


def test_orders_that_hyper_parameters_are_chosen_on_are_reported_by_no_paper():
    fair = FIGURES["mini"]["10_fair_baselines"]
    tuning = fair["tuning_seeds"]
    assert not {seed for seeds in ORDERS.values() for seed in seeds} & {*tuning}
    assert adapted(fair, seeds="mingle")["tuning_seeds"] == tuning


def test_seeds_and_numbers_of_tasks_of_ones_own():
    given = {"num_tasks": [8, 14, 20], "seeds": SEEDS[:3], "adam_seeds": SEEDS[:3], "tuning_seeds": [50, 51]}
    new = adapted(given, tasks=[5], seeds=[1, 2, 3, 4])
    assert new == {"num_tasks": [5], "seeds": [1, 2, 3, 4], "adam_seeds": [1, 2, 3], "tuning_seeds": [50, 51]}
    curves = notebooks_of("mini", figures=True)["03_accuracy_curves"]
    assert adapted(curves, tasks=[8, 14], orders=2)["seeds"] == {"8": [40, 41], "14": [40, 41]}
    assert adapted(curves, seeds=[1, 2, 3, 4])["seeds"] == {"8": [1, 2, 3, 4], "20": [1, 2, 3]}
    assert adapted({"num_tasks": [8], "adam_seeds": []}, seeds=[1])["adam_seeds"] == []


def test_all_asks_for_more_orders_than_a_first_run():
    table, curves = "02_main_table", "03_accuracy_curves"
    first, every = notebooks_of("mini"), notebooks_of("mini", everything=True, figures=True)
    assert list(every)[:2] == list(first) == [curves, table]  # the curves first: most of the table's scores are among theirs
    assert first[table]["adam_seeds"] == [40] and first[curves]["seeds"] == {"8": [40, 41, 42], "20": [40]}
    assert every[table] == first[table] | {"adam_seeds": [40, 41, 42]} and every[curves]["seeds"]["8"] == SEEDS
    other = notebooks_of("mini", everything=True)
    assert other[table] == every[table] and other[curves] == first[curves]  # on the other backbones


@pytest.mark.parametrize("suite", FULL)
def test_no_notebook_is_given_more_tasks_than_the_suite_has(suite):
    tasks = {"mini": 20, "clip": 20, "text": 10}[suite]
    for parameters in notebooks_of(suite, everything=True, figures=True).values():
        given = [*parameters.get("num_tasks", []), *parameters.get("lambda_tasks", [])]
        seeds = parameters.get("seeds", [])
        assert max([*given, *(map(int, seeds) if isinstance(seeds, dict) else [])], default=0) <= tasks


@pytest.mark.parametrize("suite", FULL)
def test_curves_of_any_number_of_tasks_can_be_asked_for(suite):
    given = notebooks_of(suite)["03_accuracy_curves"]
    for number in (2, 4, 7, 8, 10, 20):
        assert adapted(given, tasks=[number], orders=1)["seeds"] == {str(number): [40]}
