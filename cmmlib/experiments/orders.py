"""The published orders of a suite's tasks."""

import random
from collections.abc import Iterable


def task_order(tasks: Iterable[str], seed: int) -> list[str]:
    """The order in which tasks arrive under a seed: their names as shuffled by Python's `random.Random`.

    The published runs use seeds 40 … 49 on the names in suite order.  Python has kept the shuffle stable across versions.
    """
    order = list(tasks)
    random.Random(seed).shuffle(order)
    return order
