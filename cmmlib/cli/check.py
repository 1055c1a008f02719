"""The command that looks before a run leaps: check."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # torch takes a second to import
    from ..experiments.reproduce import Planned

OPTIONS = ("models_dir", "data_dir", "revisions")
"""Options of the command that are the suite's."""


def check(arguments: argparse.Namespace) -> dict[str, Any]:
    """Find what could stop or falsify a run.

    Raises:
        ValueError, FileNotFoundError: see `cmmlib.experiments.first_contact.first_contact`.
    """
    given = {name: value for name in OPTIONS if (value := getattr(arguments, name)) is not None}
    return checked(arguments.suite, arguments.backbone or (), arguments.tasks, given)


def checked(suite: str, backbones: Sequence[str], num_tasks: int | None, options: dict[str, Any]) -> dict[str, Any]:
    """What `cmmlib.experiments.first_contact.first_contact` finds, as ``--json`` prints it."""
    from ..experiments.first_contact import first_contact

    found = first_contact(suite, backbones, num_tasks, progress=sys.stderr is not None, **options)
    return {
        "ready": not found.faults,
        "repositories": [asdict(repository) for repository in found.repositories],
        "disks": [
            {"folders": [str(folder) for folder in disk.folders], "needed": disk.needed, "free": disk.free}
            for disk in found.disks
        ],
        "faults": found.faults,
    }


def look_first(plan: Sequence[Planned]) -> None:
    """Print what running these notebooks fetches, and whether that is as expected; nothing where all scores are known.

    Raises:
        ValueError: something is not as expected.
    """
    from ..experiments.forecast import planned_runs
    from ..experiments.grid import work_left
    from ..experiments.store import Results
    from ..paths import results_path

    for planned in plan:
        suite, backbone = planned.suite, planned.backbone
        if not work_left(suite, backbone, planned_runs(planned), Results(results_path(suite.name)))[0]:
            continue
        options = {key: value for key, value in planned.parameters["suite_options"].items() if key != "precision"}
        result = checked(suite.name, [backbone], None, options)
        print(as_text(result), flush=True)
        if not result["ready"]:
            raise ValueError(f"{suite.name} {backbone}: a run would stop or mislead, see above; nothing was fetched")


def as_text(result: dict[str, Any]) -> str:
    """The table, a line per repository; the faults; the disks; and a last line that says whether a run can begin."""
    from tabulate import tabulate

    rows: list[dict[str, object]] = []
    faults: list[str] = []
    for found in result["repositories"]:
        if found["fault"]:
            faults.append(f"[{len(faults) + 1}] {found['id']}: {found['fault'].removeprefix(found['id'] + ': ')}")
        rows.append(
            {
                "repository": found["id"],
                "revision": found["revision"].removeprefix("sha256:")[:8] or "-",
                "files": found["files"],
                "MB": f"{found['size'] / 1e6:,.1f}",
                "to fetch": f"{found['missing'] / 1e6:,.1f}",
                "images": "" if found["rows"] is None else f"{found['rows']:,}",
                "": f"[{len(faults)}]" if found["fault"] else "ok",
            }
        )
    table = tabulate(
        rows, headers="keys", tablefmt="simple", colalign=("left", "left", *["right"] * 4, "left"), disable_numparse=True
    )
    disks = [
        f"disk of {' and '.join(disk['folders'])}: {disk['needed'] / 1e9:.1f} GB needed, {disk['free'] / 1e9:.1f} GB free"
        for disk in result["disks"]
    ]
    fetched = sum(found["missing"] for found in result["repositories"]) / 1e9
    count = len(rows)
    last = f"ready: {count} repositories are as expected, {fetched:.1f} GB to fetch"
    if not result["ready"]:
        small = len(result["faults"]) - len(faults)
        what = [f"{len(faults)} of {count} repositories are not as expected"] * bool(faults)
        last = f"not ready: {', '.join(what + ['the disk is too small'] * bool(small))}"
    return "\n".join([table, "", *faults, *[""] * bool(faults), *disks, last])
