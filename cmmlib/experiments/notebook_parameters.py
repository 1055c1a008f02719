"""The parameters that `cmm reproduce` injects into the notebooks, whose committed defaults are a quick setting."""

from __future__ import annotations

from typing import Any

Parameters = dict[str, dict[str, Any]]
"""Notebook name → its parameters, in the order in which the notebooks run."""

ORDERS = list(range(40, 50))
"""The seeds of the published orders."""

FULL: dict[str, Parameters] = {
    "mini": {
        "03_accuracy_curves": {"seeds": {"8": ORDERS, "20": ORDERS[:3]}, "adam_seeds": ORDERS[:3]},
        "02_main_table": {"num_tasks": [8, 14, 20], "seeds": ORDERS, "adam_seeds": ORDERS[:3]},
    },
    "clip": {
        "03_accuracy_curves": {"seeds": {"8": ORDERS, "20": ORDERS[:3]}, "adam_seeds": ORDERS[:3]},
        "02_main_table": {"num_tasks": [8, 14, 20], "seeds": ORDERS, "adam_seeds": ORDERS},
    },
    "text": {
        "03_accuracy_curves": {"seeds": {"4": ORDERS, "10": ORDERS[:3]}, "adam_seeds": ORDERS[:3]},
        "02_main_table": {"num_tasks": [4, 7, 10], "seeds": ORDERS, "adam_seeds": ORDERS[:3]},
    },
}
"""The full run of each suite.  The curves come first, after which most sequences of the table are done."""

ALL_BACKBONES = ("clip",)
"""Suites that run on all their backbones without ``--all``."""

FIGURES: Parameters = {
    "04_pareto_front": {},
    "05_all_at_once": {"num_tasks": [8, 14, 20], "vary_all": True, "references": True},
    "06_geometry": {
        "num_tasks": [8, 20],
        "seeds": ORDERS[:3],
        "methods": [
            "Weight average",
            "Task arithmetic",
            "TIES",
            "MagMax",
            "OPCM",
            "DOP",
            "DOP-exact (α=0.8)",
            "DOP-all (u)",
        ],
    },
    "07_sweeps": {
        "seeds": ORDERS[:3],
        "opcm_seeds": ORDERS[:5],
        "order_seeds": ORDERS,
        "opcm_alphas": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0],
        "dop_alphas": [0.0, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 1.0],
        "svd_epsilons": [0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.99, 0.99999],
        "spaces": ["u", "v", "uv"],
        "steps": [0, 10, 30, 200],
        "ema_betas": [0.0, 0.9, 0.99, 0.999, 1.0],
        "ema_steps": 200,
        "lambda_tasks": [8, 20],
        "order_rows": [
            *("Weight average", "Task arithmetic", "TIES", "MagMax", "OPCM (first version)", "OPCM"),
            *("DOP-exact (α=0.8)", "DOP-exact (balanced)", "DOP-all (u)"),
        ],
    },
    "10_fair_baselines": {
        "num_tasks": [8, 14, 20],
        "seeds": ORDERS,
        "tuning_seeds": [50, 51, 52],
        "scaling_factors": [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0],
        "compare_rows": ["OPCM", "DOP-exact (α=0.8)", "DOP-exact (balanced)", "DOP-all (u)"],
    },
}
"""What ``--all`` adds on the first backbone: the papers' other figures and our own."""

QUICK: Parameters = {
    "02_main_table": {"num_tasks": [8], "seeds": ORDERS[:3], "adam_seeds": []},
}
"""What ``--quick`` runs instead."""


def first_orders(parameters: dict[str, Any], orders: int | None) -> dict[str, Any]:
    """A notebook's parameters with at most ``orders`` seeds in each list of seeds; None keeps all.

    Parameters whose names end in "seeds" hold a list, or a list per number of tasks.
    """
    cut = dict(parameters)
    for key, given in parameters.items():
        if key.endswith("seeds"):
            cut[key] = {n: s[:orders] for n, s in given.items()} if isinstance(given, dict) else given[:orders]
    return cut
