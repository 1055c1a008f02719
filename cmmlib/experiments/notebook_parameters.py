"""The parameters that `cmm reproduce` injects into the notebooks, whose committed defaults are a quick setting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .orders import ORDERS
from .rows import DEFAULT_ROWS, all_rows

Parameters = dict[str, dict[str, Any]]
"""Notebook name → its parameters, in the order in which the notebooks run."""

SEEDS = list(ORDERS["dop"])
"""The seeds of the orders, unless those of another paper are asked for."""

FULL: dict[str, Parameters] = {
    "mini": {  # about ten minutes on two cores: curves score every step on all tasks, and DOP's solver takes seconds a model
        "03_accuracy_curves": {"seeds": {"8": SEEDS[:3], "20": SEEDS[:1]}, "adam_seeds": SEEDS[:1]},
        "02_main_table": {"num_tasks": [8, 14, 20], "seeds": SEEDS, "adam_seeds": SEEDS[:1]},
    },
    "clip": {
        "03_accuracy_curves": {"seeds": {"8": SEEDS, "20": SEEDS[:3]}, "adam_seeds": SEEDS[:3]},
        "02_main_table": {"num_tasks": [8, 14, 20], "seeds": SEEDS, "adam_seeds": SEEDS},
    },
    "text": {
        "03_accuracy_curves": {"seeds": {"10": SEEDS[:1]}, "adam_seeds": SEEDS[:1]},
        "02_main_table": {"num_tasks": [4, 7, 10], "seeds": SEEDS, "adam_seeds": SEEDS[:1]},
        "06_geometry": {"num_tasks": [4, 10], "seeds": SEEDS[:1]},
    },
}
"""The full run of each suite.  The curves come first, after which most sequences of the table are done."""

ALL_BACKBONES = ("clip", "text")
"""Suites that run on all their backbones without ``--all``."""

EVERY_ROW: dict[str, Parameters] = {"mini": {"02_main_table": {"adam_seeds": SEEDS[:3]}}, "clip": {}, "text": {}}
"""What ``--all`` changes of it on every backbone, beside the rows."""

_OTHER_FIGURES: Parameters = {
    "04_pareto_front": {},
    "05_all_at_once": {"num_tasks": [8, 14, 20], "seeds": SEEDS, "vary_all": True, "references": True},
    "06_geometry": {
        "num_tasks": [8, 20],
        "seeds": SEEDS[:3],
        "methods": [*DEFAULT_ROWS],
    },
    "07_sweeps": {
        "seeds": SEEDS[:3],
        "opcm_seeds": SEEDS[:5],
        "order_seeds": SEEDS,
        "opcm_alphas": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0],
        "dop_alphas": [0.0, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 1.0],
        "svd_epsilons": [0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.99, 0.99999],
        "spaces": ["u", "v", "uv"],
        "steps": [0, 10, 30, 200],
        "ema_betas": [0.0, 0.9, 0.99, 0.999, 1.0],
        "ema_steps": 200,
        "ridges": [1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 1e-1],
        "powers": [0.0, 0.25, 0.5, 0.75, 1.0],
        "lambda_tasks": [8, 20],
        "order_rows": [label for label in all_rows(8) if label != "DOP"],
    },
    "10_fair_baselines": {
        "num_tasks": [8, 14, 20],
        "seeds": SEEDS,
        "tuning_seeds": [52, 53, 54],
        "scaling_factors": [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5, 2.0],
        "compare_rows": ["OPCM", "DOP-exact (α=0.8)", "WUDI", "Kronecker"],
    },
}

FIGURES: dict[str, Parameters] = {
    "mini": {"03_accuracy_curves": {"seeds": {"8": SEEDS, "20": SEEDS[:3]}, "adam_seeds": SEEDS[:3]}} | _OTHER_FIGURES,
    "clip": _OTHER_FIGURES,
    "text": {},  # which has fewer tasks than they take
}
"""What ``--all`` adds on a suite's first backbone: the papers' other figures and our own, and curves of more orders."""

QUICK: dict[str, Parameters] = {
    "mini": {"02_main_table": {"num_tasks": [8], "seeds": SEEDS[:3], "adam_seeds": []}},
    "clip": {
        "02_main_table": {
            "num_tasks": [4],
            "seeds": SEEDS[:1],
            "adam_seeds": [],
            "methods": ["Weight average", "Task arithmetic", "TIES", "MagMax", "OPCM"],
        }
    },
    "text": {"02_main_table": {"num_tasks": [4], "seeds": SEEDS[:3], "adam_seeds": []}},
}
"""What ``--quick`` runs instead of each suite's full run."""

QUICK_OPTIONS: dict[str, dict[str, Any]] = {"mini": {}, "clip": {"subset": "quick", "limit": 200}, "text": {}}
"""Options of a suite that ``--quick`` sets where they are not given."""


def notebooks_of(suite: str, *, quick: bool = False, everything: bool = False, figures: bool = False) -> Parameters:
    """The notebooks that are run for one backbone of a suite, and their parameters.

    Args:
        quick: a first table only.
        everything: as ``--all`` asks.
        figures: with the other figures.
    """
    if quick:
        return QUICK[suite]
    chosen = dict(FULL[suite])
    for more in (EVERY_ROW[suite] if everything else {}, FIGURES[suite] if figures else {}):
        chosen |= {name: chosen.get(name, {}) | parameters for name, parameters in more.items()}
    return chosen


def adapted(
    parameters: dict[str, Any],
    *,
    tasks: Sequence[int] | None = None,
    seeds: Sequence[int] | str | None = None,
    orders: int | None = None,
) -> dict[str, Any]:
    """A notebook's parameters for some numbers of tasks and some orders.

    Parameters whose names end in "seeds" hold a list, or a list per number of tasks.  Those of the orders that
    hyper-parameters are chosen on stay as they are.

    Args:
        tasks: numbers of tasks in place of a list of them.
        seeds: of the orders, in place of ours: all of them for ``seeds``, and the first ones where the notebook has fewer
            than ten; the name of a paper (`cmmlib.experiments.orders.ORDERS`), for its seeds one by one.
        orders: at most as many seeds in each list; None for all.
    """

    def chosen(given: Sequence[int], fewer: bool) -> list[int]:
        if isinstance(seeds, str):
            other = dict(zip(SEEDS, ORDERS[seeds], strict=True))
            given = [other.get(seed, seed) for seed in given]
        elif seeds is not None:
            given = seeds[: len(given)] if fewer and len(given) < len(SEEDS) else seeds
        return list(given[:orders])

    new = dict(parameters)
    for key, given in parameters.items():
        if key in ("num_tasks", "lambda_tasks") and tasks is not None:
            new[key] = list(tasks)
        elif key == "tuning_seeds":
            new[key] = list(given[:orders])
        elif key.endswith("seeds") and isinstance(given, dict):
            most: Sequence[int] = given[max(given, key=int)]  # for a number of tasks that the notebook does not have
            numbers = given if tasks is None else {str(n): given.get(str(n), most) for n in tasks}
            new[key] = {number: chosen(part, True) for number, part in numbers.items()}
        elif key.endswith("seeds"):
            new[key] = chosen(given, key != "seeds")
    return new
