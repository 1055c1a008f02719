"""The published shuffling of tasks."""

from __future__ import annotations

import random

import pytest

from cmmlib import task_order
from cmmlib.experiments.orders import ORDERS, order_seeds


@pytest.mark.parametrize("seed", range(40, 50))
def test_orders_are_those_of_the_published_shuffling(seed: int):
    tasks = [f"task{i}" for i in range(20)]
    expected = list(tasks)
    random.seed(seed)
    random.shuffle(expected)
    assert task_order(tasks, seed) == expected
    assert tasks == [f"task{i}" for i in range(20)], "the argument is left alone"


def test_one_order_literally():
    names = ["sun397", "stanford-cars", "resisc45", "eurosat", "svhn", "gtsrb", "mnist", "dtd"]
    assert task_order(names, 42) == ["eurosat", "svhn", "mnist", "dtd", "resisc45", "gtsrb", "sun397", "stanford-cars"]


def test_shuffling_leaves_the_global_generator_alone():
    random.seed(7)
    expected = random.random()
    random.seed(7)
    task_order("abc", 42)
    assert random.random() == expected


def test_orders_have_names_and_are_drawn_as_the_papers_code_draws_them():
    assert ORDERS["dop"] == tuple(range(40, 50)) and ORDERS["mingle"] == tuple(range(42, 52))
    tasks = [f"task{i}" for i in range(20)]
    for version in range(10):  # MINGLE's examples/mingle/tab1.sh: seed 42 + version
        expected = list(tasks)
        random.seed(42 + version)
        random.shuffle(expected)
        assert task_order(tasks, order_seeds("mingle")[version]) == expected


def test_seeds_are_given_by_name_or_as_they_are():
    assert order_seeds("dop") == list(range(40, 50)) and order_seeds(range(3)) == [0, 1, 2]
    with pytest.raises(ValueError, match="orders 'opcm' are unknown; known are dop, mingle"):
        order_seeds("opcm")
