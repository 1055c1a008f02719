"""What ``cmm reproduce`` has left in a folder, if it has come to its end."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Notebook = dict[str, Any]

TABLE, CURVES = "02_main_table", "03_accuracy_curves"
"""The notebook that every run has, and one that only some have."""

NEEDED = ("main_table.md", "main_table.png", "runs.csv")


@dataclass(frozen=True)
class FinishedRun:
    """The files of a run.

    Attributes:
        notebooks: the executed notebooks by name, the table's among them.
        runs: the rows of ``runs.csv``: a merge sequence each.
        header, rows: of the main table as printed; the first column holds the labels, the others are called "8 tasks ACC".
        sources: ``sources.csv`` with its header, where the run recorded the models and data that it used.
    """

    folder: Path
    notebooks: dict[str, Notebook]
    runs: list[dict[str, str]]
    header: list[str]
    rows: list[list[str]]
    sources: list[list[str]] | None

    @property
    def parameters(self) -> dict[str, Any]:
        """Those that the table's notebook was run with; what has its default is not among them."""
        return self.notebooks[TABLE]["metadata"]["papermill"]["parameters"]

    @property
    def suite(self) -> str:
        return str(self.parameters.get("suite", "mini"))  # as in the notebook itself

    @property
    def labels(self) -> list[str]:
        """Of the table's rows: methods, bounds and references."""
        return [row[0] for row in self.rows]


def read_finished_run(folder: Path) -> FinishedRun:
    """The run in a folder.

    Raises:
        FileNotFoundError: there is no run, or a file of it is missing.
        ValueError: the run has not been finished.
    """
    notebooks = _finished_notebooks(folder)
    for name in NEEDED + (("accuracy_curves.png",) if CURVES in notebooks else ()):
        if not (folder / name).exists():
            raise FileNotFoundError(f"{folder / name} is missing; run the same `cmm reproduce` again: it writes it anew")
    first, *others = _read_csv(folder / "runs.csv")
    runs = [dict(zip(first, row, strict=True)) for row in others]
    header, *rows = _read_markdown_table(folder / "main_table.md")
    sources = _read_csv(folder / "sources.csv") if (folder / "sources.csv").exists() else None
    return FinishedRun(folder, notebooks, runs, header, rows, sources)


def _finished_notebooks(folder: Path) -> dict[str, Notebook]:
    paths = sorted((folder / "notebooks").glob("*.ipynb"))
    if TABLE not in [path.stem for path in paths]:
        raise FileNotFoundError(
            f"{folder} holds no run (there is no notebooks/{TABLE}.ipynb in it); make one with `cmm reproduce`, and "
            "name the folder that it prints"
        )
    notebooks = {path.stem: _notebook(path) for path in paths}
    for path in paths:
        if not _finished(notebooks[path.stem]):
            raise ValueError(f"{path} was not finished; run the same `cmm reproduce` again: it goes on where it was")
    return notebooks


def _notebook(path: Path) -> Notebook:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no notebook ({error}); run the same `cmm reproduce` again") from None


def _finished(notebook: Notebook) -> bool:
    states = [cell["metadata"].get("papermill", {}) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    ended = notebook["metadata"].get("papermill", {}).get("end_time")
    return bool(ended) and all(state.get("status") == "completed" and not state.get("exception") for state in states)


def _read_csv(path: Path) -> list[list[str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def _read_markdown_table(path: Path) -> list[list[str]]:
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [rows[0], *rows[2:]]  # without the rule under the header
