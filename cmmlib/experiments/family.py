"""Methods that need sums over the models alone, their choices, and what was expected of each choice.

The expectations come from a throw-away study on the three backbones of the mini suite, but for that of the default cap,
which is ours.  Each is about the difference in ACC between two rows, in points: the range that the study measured or
named, mostly rounded outwards to half points.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd

from ..analysis.claims import Claim
from ..analysis.runs import RUN
from ..suites.suite import Suite
from . import kronecker_products
from .frames import accuracies
from .grid import run_grid
from .rows import Rows, all_rows
from .runs import plan
from .store import Results

WUDI, WUDI_MODELS, KRONECKER = "WUDI", "WUDI, pull to the models", "Kronecker"
NUFILT_CODE = "NUFILT (attention, fc1)"

MAIN: Rows = {
    label: all_rows(8)[label]  # of none of these does it depend on the number of tasks
    for label in (
        *(KRONECKER, WUDI, "ACTMat", "DOP-all (v)", "DOP-all (u)", "TSV-M (r/10)", "Iso-C"),
        *("NUFILT", "OPCM", "Weight average"),
    )
} | {NUFILT_CODE: ("nufilt", {"variant": "code"})}
"""One row per method, and of NUFILT what its published code merges, beside what its paper says."""

_EVEN = {"input_power": 0.5, "output_power": 0.5}
_U = {"svd_proj_space": "u"}
CHOICES: Rows = {
    "Kronecker (½, ½)": ("kronecker", _EVEN),
    "Kronecker, ridge 3e-4": ("kronecker", {"ridge": 3e-4}),
    "Kronecker, ridge 1e-2": ("kronecker", {"ridge": 1e-2}),
    "Kronecker, no convolution": ("kronecker", {"convolution": False}),
    "Kronecker, cap 1": ("kronecker", {"cap": 1.0}),
    "Kronecker, no cap": ("kronecker", {"cap": 4.0}),
    "Kronecker, nearest in KL": (f"{kronecker_products.__name__}:nearest_in_kl", {}),
    "Kronecker, factors added": (f"{kronecker_products.__name__}:added_up", {}),
    WUDI_MODELS: ("wudi", {"pull": "models"}),
    "WUDI, ridge 3e-3": ("wudi", {"pull": "zero", "ridge": 3e-3}),
    "WUDI, no convolution": ("wudi", {"pull": "zero", "convolution": False}),
    "TACT": ("actmat", {"share": 0.5}),
    "ACTMat, ridge 1e-3": ("actmat", {"ridge": 1e-3}),
    "DOP-all (uv)": ("dop_all", {"svd_proj_space": "uv"}),
    "DOP-all (u), weighted": ("dop_all", _U | {"weighting": "norm"}),
    "DOP-all (u), others averaged": ("dop_all", _U | {"others": "mean"}),
    "DOP-all (u), no ridge": ("dop_all", _U | {"ridge": 0.0}),
    "DOP-all (u), ridge 1e-2": ("dop_all", _U | {"ridge": 1e-2}),
}
"""One choice changed at a time."""

JUDGED: Rows = {label: (MAIN | CHOICES)[label] for label in (WUDI, WUDI_MODELS, KRONECKER, "DOP-all (v)", "OPCM")}
"""What is judged on zoos where nothing was chosen: one row per method that may lead, and where WUDI's ridge should pull."""


def family_rows(num_tasks: int, choices: bool) -> Rows:
    """`MAIN`, and with ``choices`` also `CHOICES` and the published rank of TSV-M, which depends on the number of tasks."""
    return MAIN | (CHOICES | {"TSV-M (r/T)": ("tsv_m", {"share": 1 / num_tasks})} if choices else {})


CLAIMS = (
    Claim("WUDI leads OPCM", WUDI, "OPCM", 3.5, 10.0),
    Claim("the Kronecker product leads WUDI", KRONECKER, WUDI, -0.5, 3.5),
    Claim("… and even powers are nearly as good", "Kronecker (½, ½)", KRONECKER, -2.0, 0.5),
    Claim("… its ridge hardly matters (3e-4)", "Kronecker, ridge 3e-4", KRONECKER, -1.0, 1.0),
    Claim("… its ridge hardly matters (1e-2)", "Kronecker, ridge 1e-2", KRONECKER, -1.0, 1.0),
    Claim("… a cap of min(m, n) costs little", "Kronecker, cap 1", "Kronecker, no cap", -0.5, 0.5),
    Claim("… and so does one of 0.6, the default", KRONECKER, "Kronecker, no cap", -0.5, 0.5),
    Claim("… the product nearest in KL is as good", "Kronecker, nearest in KL", "Kronecker, no cap", -0.5, 0.5),
    Claim("… factors added up are worse", "Kronecker, factors added", "Kronecker, no cap", -11.0, -2.0),
    Claim("… it gains by the convolution", KRONECKER, "Kronecker, no convolution", 1.0, 2.0),
    Claim("WUDI gains by the convolution", WUDI, "WUDI, no convolution", 1.0, 2.0),
    Claim("… a ridge of 3e-3 changes little", "WUDI, ridge 3e-3", WUDI, -0.8, 0.8),
    Claim("… where the ridge pulls changes little", WUDI_MODELS, WUDI, -0.8, 0.8),
    Claim("TACT is as good as WUDI", "TACT", WUDI, -0.8, 0.8),
    Claim("WUDI leads ACTMat by weights and ridge", WUDI, "ACTMat", 1.5, 3.5),
    Claim("… and ACTMat gains by a ridge", "ACTMat, ridge 1e-3", "ACTMat", 0.0, 3.5),
    Claim("WUDI leads DOP-all (v)", WUDI, "DOP-all (v)", -0.5, 2.5),
    Claim("WUDI leads TSV-M", WUDI, "TSV-M (r/10)", 0.0, 6.0),
    Claim("… a fixed r/10 is as good as the published r/T", "TSV-M (r/10)", "TSV-M (r/T)", -1.0, 1.5),
    Claim("WUDI leads Iso-C", WUDI, "Iso-C", 2.5, 10.5),
    Claim(f"WUDI leads {NUFILT_CODE}", WUDI, NUFILT_CODE, 5.5, 12.0),
    Claim("DOP-all (v) leads (u)", "DOP-all (v)", "DOP-all (u)", -1.5, 6.5),
    Claim("DOP-all (u) leads (uv)", "DOP-all (u)", "DOP-all (uv)", 0.0, 3.0),
    Claim("… the ridge pays", "DOP-all (u)", "DOP-all (u), no ridge", 0.0, 12.0),
    Claim("… a ridge of 1e-2 changes little", "DOP-all (u), ridge 1e-2", "DOP-all (u)", -1.0, 1.0),
    Claim("… the sum over √t leads the mean", "DOP-all (u)", "DOP-all (u), others averaged", 0.0, 3.0),
    Claim("… weights hardly matter", "DOP-all (u), weighted", "DOP-all (u)", -0.5, 0.5),
)
"""A claim that starts with "…" is about the method of the one before it."""


def final_accuracies(
    suite: Suite,
    backbone: str,
    rows: Rows,
    num_tasks: Iterable[int],
    seeds: Iterable[int],
    results: Results,
    **how: Any,
) -> pd.DataFrame:
    """ACC of rows after the last task; what ``results`` lacks is run first.

    Args:
        seeds: of the orders; one is enough for methods that do not depend on it.
        how: arguments of `cmmlib.experiments.run_grid`.

    Returns:
        Columns ``label``, ``num_tasks``, ``seed`` and ``acc`` in per cent.
    """
    seeds = list(seeds)
    runs = [run for number in num_tasks for run in plan(rows, number, seeds, final=True)]
    run_grid(suite, backbone, runs, results, **how)
    scores = accuracies(suite, backbone, runs, results)
    last = scores[scores["step"] == scores["num_tasks"]]
    return last.groupby(RUN, sort=False)["accuracy"].mean().rename("acc").reset_index()
