"""Reproducing the papers' tables and figures by running the notebooks with papermill: what `cmm reproduce` does."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..methods import get_method
from ..methods.finding import file_of
from ..paths import figures_dir, notebooks_dir, require_writable_cache, run_dir
from ..suites import load_suite
from ..suites.suite import Suite
from .notebook_parameters import ALL_BACKBONES, QUICK_OPTIONS, SEEDS, adapted, notebooks_of
from .orders import ORDERS
from .ray_connection import require_ray
from .rows import named_rows

_PATHS = ("models_dir", "data_dir", "revisions")
"""Options of a suite that are paths."""


class Reproduced(NamedTuple):
    """The result on one backbone: the folder of its results, and its main table in Markdown."""

    suite: str
    backbone: str
    folder: Path
    table: str


class Planned(NamedTuple):
    """A notebook that will be run.

    Attributes:
        suite, backbone: what it is run on.
        folder: of the backbone's results.
        source: the notebook.
        parameters: what is injected.
    """

    suite: Suite
    backbone: str
    folder: Path
    source: Path
    parameters: dict[str, Any]

    @property
    def target(self) -> Path:
        """The executed notebook."""
        return self.folder / "notebooks" / self.source.name


def reproduce(suite: str = "mini", **chosen: Any) -> list[Reproduced]:
    """Run the notebooks of a suite's table and curves on one backbone after the other.

    Args:
        suite, chosen: see `planned_notebooks`.

    Raises:
        ValueError: a bad argument, or a cell failed.
        FileNotFoundError: the notebooks, or a folder in ``suite_options``, cannot be found.
        OSError: the cache cannot be written.
    """
    plan = planned_notebooks(suite, **chosen)
    require_writable_cache()
    for planned in plan:
        planned.target.parent.mkdir(parents=True, exist_ok=True)
        run_notebook(planned.source, planned.target, planned.parameters)
    places = {planned.folder: planned for planned in plan}
    return [
        Reproduced(planned.suite.name, planned.backbone, folder, (folder / "main_table.md").read_text("utf-8"))
        for folder, planned in places.items()
    ]


def planned_notebooks(
    suite: str = "mini",
    *,
    backbones: Sequence[str] = (),
    quick: bool = False,
    everything: bool = False,
    methods: Sequence[str] | None = None,
    tasks: Sequence[int] | None = None,
    seeds: Sequence[int] | str | None = None,
    orders: int | None = None,
    out: str | Path | None = None,
    jobs: int | None = None,
    ray: str | None = None,
    device: str | None = None,
    check: bool = True,
    suite_options: Mapping[str, Any] | None = None,
) -> list[Planned]:
    """The notebooks of a suite's table and curves, on one backbone after the other.

    Bad arguments are refused by the name of their option of `cmm reproduce`.

    Args:
        suite: its name.
        backbones: names; default: the first, or all for a suite in ``ALL_BACKBONES``.
        quick: run only a first table, by default on the first backbone: `cmmlib.experiments.notebook_parameters.QUICK`.
        everything: run all backbones with every row of the table, and on the first the other figures and the fair baselines.
        methods: the rows, by label or by a method's name (`cmmlib.experiments.rows.named_rows`); default: as ``everything``
            says.
        tasks: numbers of tasks; default: 8, 14 and 20, with ``quick`` fewer.
        seeds: of the orders, or the paper whose orders are taken (`cmmlib.experiments.orders.ORDERS`); default: DOP's.
        orders: how many of them, from the first on; default: all.
        out: folder of the results, with a folder for each backbone (`cmmlib.paths.run_dir`); default:
            `cmmlib.paths.figures_dir`.
        jobs, ray, device: see `cmmlib.experiments.grid.run_grid`.
        check: whether to compare with the committed reference run.
        suite_options: options of `cmmlib.suites.load_suite`.

    Raises:
        ValueError: a bad argument.
        FileNotFoundError: the notebooks, a folder in ``suite_options`` or a method's file cannot be found.
    """
    if jobs is not None and jobs < 1:
        raise ValueError(f"--jobs: expected at least 1, got {jobs}")
    if ray is not None:
        require_ray()
    if orders is not None and not 1 <= orders <= len(SEEDS):
        raise ValueError(f"--orders: expected 1 to {len(SEEDS)}, got {orders}")
    if isinstance(seeds, str) and seeds not in ORDERS:
        raise ValueError(f"--seeds {seeds}: expected whole numbers or one of {', '.join(ORDERS)}")
    named = _named(methods)
    options = (QUICK_OPTIONS.get(suite, {}) if quick else {}) | dict(suite_options or {})
    for key in _PATHS:
        if key in options:  # the notebooks run in another folder
            options[key] = str(Path(options[key]).absolute())
            _require_text(f"--{key.replace('_', '-')}", options[key])
    out = figures_dir() if out is None else Path(out).absolute()
    _require_text("--out", out)
    loaded = load_suite(suite, **options)
    for number in tasks or ():
        if not 2 <= number <= len(loaded.tasks):
            raise ValueError(f"--tasks {number}: suite {loaded.name} takes 2 to {len(loaded.tasks)}")
    every = loaded.backbones if everything or loaded.name in ALL_BACKBONES else loaded.backbones[:1]
    chosen = backbones or (loaded.backbones[:1] if quick else every)
    not_built = f"; {missing}" if (missing := getattr(loaded, "not_built", "")) else ""
    if not_built and not backbones and not quick:
        print(f"suite {loaded.name}: {', '.join(chosen)}{not_built}")
    for backbone in chosen:
        if backbone not in loaded.backbones:
            raise ValueError(f"--backbone {backbone!r}: suite {loaded.name} has {', '.join(loaded.backbones)}{not_built}")
    plan = []
    for backbone in chosen:
        folder = out / run_dir(f"{loaded.name}-quick" if quick else loaded.name, backbone)
        common: dict[str, Any] = {"suite": loaded.name, "suite_options": options, "backbone": backbone, "out": str(folder)}
        common |= {"every_row": everything, "jobs": jobs, "ray": ray, "device": device, "check": check}
        common |= {"methods": named} if named else {}
        figures = everything and backbone == chosen[0]
        notebooks = notebooks_of(loaded.name, quick=quick, everything=everything, figures=figures)
        for name, parameters in notebooks.items():
            source = notebooks_dir() / f"{name}.ipynb"
            known = parameters_of(source)
            mine = adapted(parameters, tasks=tasks, seeds=seeds, orders=orders)
            mine |= {key: value for key, value in common.items() if key in known}
            if named and mine.get("adam_seeds") == []:  # where they are left out unless somebody asks
                mine["adam_seeds"] = mine["seeds"]
            plan.append(Planned(loaded, backbone, folder, source, mine))
    return plan


def _named(methods: Sequence[str] | None) -> list[str] | None:
    """Names of rows as notebooks take them, which run in another folder."""
    if methods is None:
        return None
    try:
        named_rows(methods, 8)
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(f"--methods: {error}") from error
    return [get_method(name).name if file_of(name) else name for name in methods]


def _require_text(option: str, path: str | Path) -> None:
    """Raises ValueError for a path that a notebook, which is UTF-8, cannot hold."""
    try:
        str(path).encode()
    except UnicodeError:
        raise ValueError(f"{option} {os.fsencode(path)!r}: not UTF-8, which a notebook cannot hold; rename it") from None


def parameters_of(notebook: Path) -> list[str]:
    """The names of a notebook's parameters."""
    import papermill

    return list(papermill.inspect_notebook(_as_it_is(notebook)))


def _as_it_is(path: Path) -> str:
    """A path for papermill, which fills what stands in braces with parameters."""
    return str(path).replace("{", "{{").replace("}", "}}")


def run_notebook(source: Path, target: Path, parameters: dict[str, Any]) -> None:
    """Execute a notebook with papermill, in this interpreter.

    ``target`` appears when the notebook has finished or failed.  Papermill rewrites its output after every cell, and a kill
    would leave that file cut short.

    Raises:
        ValueError: the notebook has no such parameter (papermill would only warn), or a cell failed.
    """
    import papermill

    from .kernel import ThisInterpreter

    known = parameters_of(source)
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise ValueError(f"{source.name} has no parameter {unknown[0]!r}; it takes {', '.join(known)}")
    unfinished = target.with_name(f".{target.name}")
    try:
        papermill.execute_notebook(
            _as_it_is(source),
            _as_it_is(unfinished),
            parameters,
            kernel_name="python3",
            kernel_manager_class=ThisInterpreter,
            progress_bar=False,
            log_output=True,
            cwd=str(source.parent),
        )
    except papermill.PapermillExecutionError as error:
        os.replace(unfinished, target)
        fault = f"{error.ename}: {error.evalue}"
        raise ValueError(f"{source.name} failed in cell {error.exec_count}: {fault}\nsee {target}") from None
    os.replace(unfinished, target)
