"""The published orders of a suite's tasks."""

from __future__ import annotations

import random
from collections.abc import Iterable

ORDERS = {"dop": tuple(range(40, 50)), "mingle": tuple(range(42, 52))}
"""Paper → the seeds of its ten orders.

``dop``: the published runs of DOP.  ``mingle``: those of MINGLE (arXiv 2505.11883), in whose Table 1 the grid of the OPCM
paper is repeated; NUFILT (arXiv 2509.21413) takes the same seeds.  Both codes seed Python's generator and shuffle the names
of the models, which they list in suite order, so `task_order` draws either.
"""


def task_order(tasks: Iterable[str], seed: int) -> list[str]:
    """The order in which tasks arrive under a seed: their names as shuffled by Python's `random.Random`.

    The published runs (`ORDERS`) do so with the names in suite order.  Python has kept the shuffle stable across versions.
    """
    order = list(tasks)
    random.Random(seed).shuffle(order)
    return order


def order_seeds(given: str | Iterable[int]) -> list[int]:
    """The seeds of orders that are given by the name of a paper (`ORDERS`) or as they are.

    Raises:
        ValueError: an unknown name.
    """
    if not isinstance(given, str):
        return list(given)
    if given not in ORDERS:
        raise ValueError(f"orders {given!r} are unknown; known are {', '.join(ORDERS)}")
    return list(ORDERS[given])
