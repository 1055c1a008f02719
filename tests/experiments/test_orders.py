"""The published shuffling of tasks."""

from __future__ import annotations

import random

import pytest

from cmmlib import task_order


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
