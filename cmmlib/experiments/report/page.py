"""The page: the template ``page.html.j2``, filled in from the files of a run."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ...files import write_flushed
from ...methods import get_method, method_names
from ...version import __version__
from ..rows import all_rows
from .facts import facts
from .finished_run import CURVES, PICTURES_OF_CURVES, FinishedRun, read_finished_run


class Cell(NamedTuple):
    """A cell of the main table, and whether it is the best of its column."""

    text: str
    best: bool


class Method(NamedTuple):
    """The label of a row of the main table, the name of its method, and where that is published ("" if unknown)."""

    label: str
    name: str
    paper: str


def write_report(folder: str | Path) -> Path:
    """Write ``report.html`` into the folder of a finished run, whole or not at all, and return its path.

    Raises:
        FileNotFoundError: there is no run, or one of its files is missing.
        ValueError: the run is not finished, or a notebook is damaged.
    """
    target = Path(folder) / "report.html"
    write_flushed(target, page(read_finished_run(Path(folder))))
    return target


def page(run: FinishedRun) -> str:
    """The HTML document, with the pictures embedded."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    environment.filters["minus"] = with_minus
    methods = {row["label"] for row in run.runs}
    names = [name.rpartition(" ") for name in run.header[1:]]  # "8 tasks ACC": column ACC in the group "8 tasks"
    return environment.get_template("page.html.j2").render(
        suite=run.suite,
        sequences=len(run.runs),
        methods=len(methods),
        facts=facts(run),
        groups=[(top, len(list(group))) for top, group in groupby(name[0] for name in names)],
        header=[run.header[0], *(name[2] for name in names)],
        table=marked(run, methods),
        labels=run.labels,
        ours=[label for label in run.labels if label.startswith(("DOP-exact", "DOP-all", "Kronecker"))],
        main_picture=in_base64(run.folder / "main_table.png"),
        curves_pictures=[in_base64(run.folder / name) for name in PICTURES_OF_CURVES if CURVES in run.notebooks],
        explained=explained(run),
        sources=run.sources,
        today=f"{datetime.now(UTC):%Y-%m-%d}",
        versions=f"cmmlib {__version__}, torch {version('torch')}, transformers {version('transformers')}",
    )


def marked(run: FinishedRun, methods: set[str]) -> list[list[Cell]]:
    """The rows of the main table, with the best merge method marked in every column of ACC.

    Args:
        methods: labels of the rows that are merge methods.
    """
    best: dict[int, float] = {}
    for column in (number for number, name in enumerate(run.header) if name.split()[-1:] == ["ACC"]):
        merged = [accuracy(row[column]) for row in run.rows if row[0] in methods and row[column]]
        if merged:
            best[column] = max(merged)

    def is_best(row: list[str], column: int) -> bool:
        return column in best and row[0] in methods and bool(row[column]) and accuracy(row[column]) == best[column]

    return [[Cell(text, is_best(row, column)) for column, text in enumerate(row)] for row in run.rows]


def accuracy(cell: str) -> float:
    """The mean in a cell like ``61.5 ± 0.2``."""
    return float(cell.split()[0])


def explained(run: FinishedRun) -> list[Method]:
    """The rows of the table that are merge methods; ``paper`` is empty for a method that is unknown here."""
    known = {label: row[0] for label, row in all_rows(8).items()}
    known |= {label: row[0] for label, row in (run.parameters.get("rows") or {}).items()}
    return [
        Method(label, known[label], get_method(known[label]).paper if known[label] in method_names() else "")
        for label in run.labels
        if label in known
    ]


def with_minus(cell: str) -> str:
    """A cell with a minus sign in place of the hyphen of a negative number."""
    return f"−{cell[1:]}" if cell[:1] == "-" and cell[1:2].isdigit() else cell


def in_base64(picture: Path) -> str:
    return base64.b64encode(picture.read_bytes()).decode()
