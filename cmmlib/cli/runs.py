"""The commands on runs of the notebooks: reproduce and report.  Each returns what is printed."""

from __future__ import annotations

import argparse
import logging
import os
import time
from typing import Any

from ..paths import cache_dir
from .check import look_first


def reproduce(arguments: argparse.Namespace) -> str:
    """Run the notebooks, and show each backbone's table.

    Raises:
        ValueError, FileNotFoundError: see `cmmlib.experiments.reproduce.reproduce`.
    """
    from ..experiments.reproduce import planned_notebooks, reproduce

    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    names = ("limit", "precision", "models_dir", "data_dir", "revisions")
    chosen: dict[str, Any] = {
        "backbones": arguments.backbone or (),
        "quick": arguments.quick,
        "everything": arguments.all,
        "methods": arguments.methods,
        "tasks": arguments.tasks,
        "seeds": _seeds(arguments.seeds),
        "orders": arguments.orders,
        "out": arguments.out,
        "jobs": arguments.jobs,
        "ray": arguments.ray,
        "device": arguments.device,
        "check": not arguments.no_check,
        "suite_options": {name: value for name in names if (value := getattr(arguments, name)) is not None},
    }
    if arguments.dry_run:
        from ..experiments.forecast import forecast

        return forecast(planned_notebooks(arguments.suite, **chosen))
    if arguments.quick and arguments.suite == "clip":
        look_first(planned_notebooks(arguments.suite, **chosen))
    papermill_log = logging.getLogger("papermill")
    papermill_log.setLevel(logging.INFO)
    papermill_log.addFilter(lambda record: not str(record.msg).startswith(("Executing Cell", "Ending Cell")))
    os.environ.setdefault("TQDM_MININTERVAL", "5")  # seconds; by default tqdm would print ten lines a second
    start = time.monotonic()
    done = reproduce(arguments.suite, **chosen)
    tables = [f"\n{run.suite}, {run.backbone}: {run.folder}\n\n{run.table}" for run in done]
    return "\n".join(
        [
            *tables,
            f"ACC and BWT in per cent, mean ± standard deviation over orders; {time.monotonic() - start:.0f} s",
            "tables, curves and executed notebooks lie there; scores and what can be made again (safe to remove): "
            f"{cache_dir()}",
        ]
    )


def _seeds(given: list[str] | None) -> list[int] | str | None:
    """Seeds as they were typed, or the name of a paper's."""
    if given is None:
        return None
    if len(given) == 1 and not given[0].isdigit():
        return given[0]
    if not all(seed.isdigit() for seed in given):
        raise ValueError(f"--seeds {' '.join(given)}: expected whole numbers, or one name")
    return [int(seed) for seed in given]


def report(arguments: argparse.Namespace) -> str:
    """Write each run's page, and show its path.

    Raises:
        ValueError, FileNotFoundError: see `cmmlib.experiments.report.write_report`.
    """
    from ..experiments.report import write_report

    return "\n".join(str(write_report(folder)) for folder in arguments.runs)
