"""Reading what a finished ``cmm reproduce`` left in a folder."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Notebook = dict[str, Any]

TABLE, CURVES = "02_main_table", "03_accuracy_curves"
"""The notebook that every run has, and the one that only full runs have."""

NEEDED = ("main_table.md", "main_table.png", "runs.csv")
PICTURES_OF_CURVES = ("accuracy_kept.png", "accuracy_curves.png")


@dataclass(frozen=True)
class FinishedRun:
    """The files of a run.

    Attributes:
        folder: of the run's results.
        notebooks: name → executed notebook; the table's is always there.
        runs: the rows of ``runs.csv``, one per merge sequence.
        header, rows: the main table as printed.  The first column holds the labels; the others have names such as
            "8 tasks ACC".
        sources: the rows of ``sources.csv``, the header first: the models and data that were used; None without that file.
    """

    folder: Path
    notebooks: dict[str, Notebook]
    runs: list[dict[str, str]]
    header: list[str]
    rows: list[list[str]]
    sources: list[list[str]] | None

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters that were injected into the table's notebook; those left at their defaults are not included."""
        return self.notebooks[TABLE]["metadata"]["papermill"]["parameters"]

    @property
    def suite(self) -> str:
        return str(self.parameters.get("suite", "mini"))  # the notebook's own default

    @property
    def labels(self) -> list[str]:
        """The labels of the table's rows: methods, bounds and references."""
        return [row[0] for row in self.rows]


def read_finished_run(folder: Path) -> FinishedRun:
    """Read the run in a folder.

    Raises:
        FileNotFoundError: there is no run, or one of its files is missing.
        ValueError: the run is not finished, or a notebook is damaged.
    """
    notebooks = _finished_notebooks(folder)
    for name in NEEDED + (PICTURES_OF_CURVES if CURVES in notebooks else ()):
        if not (folder / name).exists():
            raise FileNotFoundError(f"{folder / name} is missing; run the same `cmm reproduce` again to write it")
    first, *others = _read_csv(folder / "runs.csv")
    runs = [dict(zip(first, row, strict=True)) for row in others]
    header, *rows = _read_markdown_table(folder / "main_table.md")
    sources = _read_csv(folder / "sources.csv") if (folder / "sources.csv").exists() else None
    return FinishedRun(folder, notebooks, runs, header, rows, sources)


def _finished_notebooks(folder: Path) -> dict[str, Notebook]:
    paths = sorted((folder / "notebooks").glob("*.ipynb"))
    if TABLE not in [path.stem for path in paths]:
        raise FileNotFoundError(
            f"{folder} holds no run (it has no notebooks/{TABLE}.ipynb); make one with `cmm reproduce`, and give the folder "
            "that it prints"
        )
    notebooks = {path.stem: _notebook(path) for path in paths}
    for path in paths:
        if not _finished(notebooks[path.stem]):
            raise ValueError(f"{path} was not finished; run the same `cmm reproduce` again, which goes on where it stopped")
    return notebooks


def _notebook(path: Path) -> Notebook:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not a notebook ({error}); run the same `cmm reproduce` again") from None


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
    return [rows[0], *rows[2:]]  # rows[1] is the rule under the header
