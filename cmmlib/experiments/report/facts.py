"""The facts at the top of the page: what was run, when, with what, and whether it agrees with the reference run."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from ...suites import load_suite
from .finished_run import TABLE, FinishedRun, Notebook


def facts(run: FinishedRun) -> dict[str, str]:
    """The facts of a run: name → value, in reading order."""
    spans = [notebook["metadata"]["papermill"] for notebook in run.notebooks.values()]
    language = run.notebooks[TABLE]["metadata"].get("language_info", {})
    found = {
        "Suite": run.suite,
        "Backbone": run.parameters.get("backbone") or _first_backbone(run.suite),
        "Tasks": ", ".join(sorted({row["num_tasks"] for row in run.runs}, key=int)),
        "Orders": _orders(run.runs),
        "Run": _time_span((span["start_time"] for span in spans), (span["end_time"] for span in spans)),
        "Run with": f"Python {language.get('version', 'unknown')}, papermill {spans[0]['version']}",
    }
    if run.parameters.get("suite_options"):
        found["Options"] = ", ".join(f"{key} = {value}" for key, value in run.parameters["suite_options"].items())
    return found | {f"Check, {name}": _last_line(notebook) for name, notebook in run.notebooks.items()}


def _first_backbone(suite: str) -> str:
    try:
        return load_suite(suite).backbones[0]
    except ValueError:  # the run was made elsewhere, with a suite that is unknown here
        return "the suite's first"


def _orders(runs: list[dict[str, str]]) -> str:
    """The seeds of the orders, and in brackets those of rows that were run on only some of them."""
    seeds: dict[str, set[int]] = {}
    for row in runs:
        seeds.setdefault(row["label"], set()).add(int(row["seed"]))
    usual = set.union(*seeds.values())
    fewer = [f"{label} {_ranges(own)}" for label, own in seeds.items() if own != usual]
    return f"seeds {_ranges(usual)}" + (f" ({'; '.join(fewer)})" if fewer else "")


def _ranges(numbers: set[int]) -> str:
    """Numbers as ranges, such as ``40–42, 45``."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(f"{low}" if low == high else f"{low}–{high}" for low, high in spans)


def _time_span(starts: Iterable[str], ends: Iterable[str]) -> str:
    start = min(map(datetime.fromisoformat, starts)).astimezone(UTC)
    end = max(map(datetime.fromisoformat, ends)).astimezone(UTC)
    return f"{start:%Y-%m-%d %H:%M} to {end:{'' if end.date() == start.date() else '%Y-%m-%d '}%H:%M} UTC"


def _last_line(notebook: Notebook) -> str:
    """The last line that the last cell printed; that cell compares the run with the reference run."""
    outputs = [cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"][-1]
    text = "".join("".join(output.get("text", "")) for output in outputs)
    return (text.strip().splitlines() or ["nothing printed"])[-1]
