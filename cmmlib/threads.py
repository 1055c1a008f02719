"""Several layers at a time with one thread each, instead of one layer at a time with all threads."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

_FINISHED = 0.25
"""The share of its size that an item takes when it is done and its result not taken yet."""


def side_by_side(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    at_most: int | None = None,
    size: Callable[[Item], float] | None = None,
    budget: float = math.inf,
) -> Iterator[Result]:
    """``map(function, items)`` on as many threads as torch may use, in each of which torch computes with one thread.

    A symmetric eigendecomposition gains little from a second core, but two at a time use both.  On two busy cores OPCM's
    factorisations and products took 1.1 to 1.4 times as long per layer when both threads worked on the same layer, and
    about 1.3 times as long in one batched call per shape (768 × 768, 768 × 3072).  No sum is split among threads, so the
    results do not depend on their number.

    Items are drawn in the calling thread and results come in order.  At most one item more than there are threads is in
    flight, which bounds memory; with sizes up to four for each thread, as the budget allows.

    Args:
        at_most: the largest number of threads, to save memory; the results are the same.
        size: what an item and its result take, in the unit of the budget.
        budget: what all items in flight may take together; one that takes more is alone.
    """
    threads = torch.get_num_threads()
    workers = min(threads, at_most or threads)
    if workers == 1:
        for item in items:
            torch.set_num_threads(1)
            try:
                result = function(item)
            finally:
                torch.set_num_threads(threads)  # the caller's own work between results gets all threads
            yield result
        return
    yield from on_threads(workers, function, items, size=size, budget=budget)


def on_threads(
    workers: int,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    size: Callable[[Item], float] | None = None,
    budget: float = math.inf,
) -> Iterator[Result]:
    """`side_by_side` on ``workers`` threads, which may exceed torch's if the function waits for other processes."""
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            in_flight = workers + 1 if size is None else 4 * workers
            yield from in_order(pool, function, items, in_flight, size or (lambda _: 0), budget)
        finally:
            torch.set_num_threads(threads)


def in_order(
    pool: ThreadPoolExecutor,
    function: Callable[[Item], Result],
    items: Iterable[Item],
    in_flight: int,
    size: Callable[[Item], float] = lambda _: 0,
    budget: float = math.inf,
) -> Iterator[Result]:
    """``pool.map(function, items)``, with at most ``in_flight`` items submitted whose results are not taken yet.

    Args:
        size, budget: as of `side_by_side`.
    """
    pending: deque[tuple[Future[Result], float]] = deque()

    def full(taken: float) -> bool:
        held = sum(each if not future.done() else each * _FINISHED for future, each in pending)
        return len(pending) >= in_flight or held + taken > budget

    try:
        for item in items:
            taken = size(item)
            while pending and full(taken):
                running = [future for future, _ in pending if not future.done()]
                if len(pending) < in_flight and pending[0][0] in running[:1] and len(running) > 1:
                    wait(running, return_when=FIRST_COMPLETED)  # a later one may be done sooner, and makes room
                    continue
                yield pending[0][0].result()
                pending.popleft()
            pending.append((pool.submit(function, item), taken))
        while pending:
            yield pending[0][0].result()
            pending.popleft()
    finally:
        for future, _ in pending:
            future.cancel()
