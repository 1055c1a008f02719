"""The notebooks' parameters, checked before anything is computed from them.

``papermill -p seeds '[40, 41]'`` hands over a text, whose characters would pass for seeds.
"""

from __future__ import annotations

import difflib
import json
import os
import reprlib
from collections.abc import Collection, Mapping, MutableMapping
from numbers import Integral, Real
from typing import Any

from ..methods import get_method
from ..suites import load_suite
from ..suites.loading import SUITES
from .orders import ORDERS, order_seeds
from .rows import named_rows

EXAMPLES: dict[str, Any] = {
    "suite": "mini",
    "suite_options": {},
    "backbone": "ViT-mini/12",
    "zoo": "../mini-zoo-seed-1",
    "counterparts": {"4": 8},
    "backbones": ["MiniLM-L6"],
    "text_results": "../figures/text",
    "install_from": "..",
    "method": "opcm",
    "method_params": {},
    "rows": {"mine": ["opcm", {}]},
    "every_row": True,
    "spread": "std",
    "measure": ["ViT-B/32"],
    "num_tasks": [8, 14],
    "seeds": [40, 41],
    "seed": 40,
    "adam_seeds": [40],
    "opcm_seeds": [40],
    "order_seeds": [40],
    "tuning_seeds": [50],
    "lambda_tasks": [8],
    "methods": ["OPCM"],
    "order_rows": ["OPCM"],
    "compare_rows": ["OPCM"],
    "alpha": 0.5,
    "alphas": [0.0, 0.5],
    "opcm_alphas": [0.5],
    "dop_alphas": [0.8],
    "svd_epsilons": [0.4],
    "spaces": ["u", "v"],
    "more_backbones": ["ViT-mini/9"],
    "vary_all": True,
    "references": True,
    "zoos": {"second seed": ["../mini-zoo-seed-1", "ViT-mini/12"]},
    "draws": {"8": [0, 1]},
    "orders": {"8": [40, 41]},
    "curves": {"8": [40]},
    "steps": [0, 10],
    "ema_betas": [0.99],
    "ema_steps": 10,
    "ridges": [1e-3],
    "powers": [0.75],
    "scaling_factors": [0.4],
    "probe_images": 48,
    "images_per_second": {"ViT-B/32": 3000.0},
    "sustained_tflops": {"float32": 10.0},
    "m": 24,
    "n": 36,
    "num_models": 5,
    "out": "results",
    "results": "scores.sqlite",
    "jobs": 2,
    "ray": "local",
    "device": "cuda",
    "check": True,
}
"""Of each parameter a value of the right form; an empty mapping stands for any."""

_CHECKED = "_parameters_checked"

OPTIONAL = {
    "backbone",
    "backbones",
    "text_results",
    "more_backbones",
    "zoo",
    "rows",
    "methods",
    "order_rows",
    "compare_rows",
    "out",
    "results",
    "jobs",
    "ray",
    "device",
}
"""Those that may be None."""

_OF_ORDERS = ("orders", "curves")
"""Parameters that hold seeds of orders, besides those whose names end in "seeds"."""

_SUITE = "suite suite_options backbone"
_GRID = "out results jobs ray device check"
_JUDGEMENT = "zoos draws orders curves"
_SWEEPS = "opcm_alphas lambda_tasks dop_alphas spaces svd_epsilons steps ema_betas ema_steps ridges powers"

NOTEBOOKS = {
    "00_quickstart": "suite num_tasks method install_from",
    "01_merge_sequence": f"{_SUITE} method method_params num_tasks seed out check",
    "02_main_table": f"{_SUITE} num_tasks seeds adam_seeds spread every_row methods rows {_GRID}",
    "03_accuracy_curves": f"{_SUITE} seeds adam_seeds methods rows {_GRID}",
    "04_pareto_front": f"{_SUITE} num_tasks seed alphas probe_images out",
    "05_all_at_once": f"{_SUITE} more_backbones vary_all num_tasks seeds references {_JUDGEMENT} {_GRID}",
    "06_geometry": f"{_SUITE} num_tasks seeds alpha methods out check",
    "07_sweeps": f"{_SUITE} num_tasks seeds opcm_seeds order_seeds adam_seeds {_SWEEPS} order_rows {_GRID}",
    "08_method_zoo": "seed m n num_models",
    "09_clip_suite": "suite suite_options num_tasks seeds images_per_second sustained_tflops measure check",
    "10_fair_baselines": f"{_SUITE} num_tasks seeds tuning_seeds scaling_factors compare_rows {_GRID}",
    "11_second_seed": f"suite_options backbone num_tasks seeds adam_seeds every_row methods zoo {_GRID}",
    "12_your_method": f"{_SUITE} num_tasks seeds methods {_GRID}",
    "13_real_weights": "counterparts backbones text_results out check",
}
"""Notebook → its parameters."""

OTHER_EXAMPLES: dict[str, dict[str, Any]] = {
    "00_quickstart": {"num_tasks": 8},
    "01_merge_sequence": {"num_tasks": 8},
    "04_pareto_front": {"num_tasks": 8},
    "07_sweeps": {"num_tasks": 8},
    "12_your_method": {"num_tasks": 8},
    "03_accuracy_curves": {"seeds": {"8": [40, 41]}},
}
"""Notebook → examples of parameters that have another form in it."""


def check_parameters(values: MutableMapping[str, Any], notebook: str) -> None:
    """Refuse parameters of a wrong form, and names of suites, backbones, methods and rows that do not exist.

    Where seeds of orders are expected, the name of a paper (`cmmlib.experiments.orders.ORDERS`) is as good.

    Args:
        values: the notebook's ``globals()``, right after its parameters.  Seeds replace the names of orders in it.
        notebook: its name, such as ``02_main_table``.

    Raises:
        ValueError: in one line what is wrong, and how papermill is given it right.
    """
    examples = EXAMPLES | OTHER_EXAMPLES.get(notebook, {})
    if not values.get(_CHECKED):  # later cells make variables of their own
        _require_known(values, NOTEBOOKS[notebook].split())
    values[_CHECKED] = True
    names = [name for name in NOTEBOOKS[notebook].split() if values[name] is not None or name not in OPTIONAL]
    for name in names:
        if name in _OF_ORDERS or name.endswith("seeds"):
            values[name] = _seeds(values[name])
        if not _alike(values[name], examples[name]):
            raise _refused(name, f"expected {_in_words(examples[name])}, got {reprlib.repr(values[name])}", examples[name])
    suite = values["suite"] if "suite" in names else "mini"
    choices: dict[str, Collection[str]] = {"suite": SUITES, "spread": ("std", "interval")}
    if suite in SUITES and {"backbone", "more_backbones", "measure"} & {*names}:
        choices |= dict.fromkeys(
            ("backbone", "more_backbones", "measure"), load_suite(suite, **values["suite_options"]).backbones
        )
    for name in names:
        given = values[name] if isinstance(values[name], list | tuple) else [values[name]]
        if name in choices and (unknown := [one for one in given if one not in choices[name]]):
            raise _refused(name, f"{unknown[0]!r} is unknown, known are {', '.join(choices[name])}", examples[name])
    for name in names:
        try:
            if name in ("methods", "order_rows", "compare_rows"):
                named_rows(values[name], 8)
            elif name == "method":
                get_method(values[name])
        except (ValueError, FileNotFoundError) as error:
            raise _refused(name, str(error), examples[name]) from error


def _seeds(given: Any) -> Any:
    """Seeds of orders, or a mapping to them, with known names replaced by their seeds."""
    if isinstance(given, Mapping):
        return {number: _seeds(part) for number, part in given.items()}
    return order_seeds(given) if isinstance(given, str) and given in ORDERS else given


def _require_known(values: Mapping[str, Any], known: Collection[str]) -> None:
    """Refuse a misspelt parameter, of which papermill only warns; other names may be a reader's own, from a cell before."""
    plain = (bool, int, float, str, list, dict, type(None))
    for name, value in values.items():
        if name.startswith("_") or not name.islower() or name in known or not isinstance(value, plain):
            continue
        if near := difflib.get_close_matches(name, known, n=1, cutoff=0.8):
            raise ValueError(f"{name}: the notebook has no such parameter; did you mean {near[0]!r}?")


def _alike(value: Any, example: Any) -> bool:
    """Whether a value has the form of an example."""
    if isinstance(example, bool):
        return isinstance(value, bool)
    if isinstance(example, int | float):
        return isinstance(value, Integral if isinstance(example, int) else Real) and not isinstance(value, bool)
    if isinstance(example, str):
        return isinstance(value, str | os.PathLike)
    if isinstance(example, list):
        return isinstance(value, list | tuple | range) and all(any(_alike(v, e) for e in example) for v in value)
    kinds = list(example.values())
    return isinstance(value, Mapping) and all(not kinds or _alike(v, kinds[0]) for v in value.values())


def _in_words(example: Any, *, several: bool = False) -> str:
    """What a value of this form is called."""
    if isinstance(example, bool):
        return "true or false"
    if isinstance(example, dict):
        words = ["mapping", *(f"to {_in_words(value, several=True)}" for value in example.values())]
    elif isinstance(example, list):
        words = ["list", f"of {_in_words(example[0], several=True)}"]
    else:
        words = [{int: "whole number", float: "number", str: "text"}[type(example)]]
    words[0] = f"{words[0]}s" if several else f"a {words[0]}"
    return " ".join(words)


def _refused(name: str, what: str, example: Any) -> ValueError:
    return ValueError(f"{name}: {what}; with papermill: -y '{{{name}: {json.dumps(example)}}}'")
