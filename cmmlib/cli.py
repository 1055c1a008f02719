"""The command ``cmm``.  ``cmm reproduce`` only calls papermill on the notebooks."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

REPRODUCE: dict[str, dict[str, Any]] = {
    "02_main_table": {
        "num_tasks": [8, 14, 20],
        "seeds": list(range(40, 50)),
        "adam_seeds": [40, 41, 42],
    },
    "03_accuracy_curves": {
        "seeds": {"8": list(range(40, 50)), "20": [40, 41, 42]},
        "adam_seeds": [40, 41, 42],
    },
}
"""What the full run injects into the notebooks; their committed defaults are the quick setting."""

QUICK: dict[str, dict[str, Any]] = {
    "02_main_table": {"num_tasks": [8], "seeds": [40, 41, 42], "adam_seeds": []},
}


def main(argv: list[str] | None = None) -> int:
    """Entry point; gives the exit code."""
    parser = argparse.ArgumentParser(prog="cmm", description="Continual model merging, reproducibly.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    reproduce = commands.add_parser("reproduce", help="run the notebooks with papermill and leave the table and the curves")
    reproduce.add_argument("--suite", default="mini", help="which suite (default: mini, which is embedded)")
    reproduce.add_argument("--quick", action="store_true", help="a first table in about a minute: 8 tasks, 3 orders")
    reproduce.add_argument("--out", type=Path, default=Path("figures"), help="folder of the results (default: figures)")
    reproduce.add_argument("--workers", type=int, default=None, help="processes (default: one per core)")
    reproduce.add_argument("--no-check", action="store_true", help="do not compare with the committed reference run")
    arguments = parser.parse_args(argv)
    try:
        return _reproduce(arguments)
    except KeyboardInterrupt:
        print("\ninterrupted; every finished score is kept, the same command goes on from there", file=sys.stderr)
        return 130
    except (ValueError, OSError) as error:
        print(f"cmm: {error}", file=sys.stderr)
        return 2


def _reproduce(arguments: argparse.Namespace) -> int:
    from .paths import cache_dir, notebooks_dir
    from .suites import load_suite

    suite, quick, workers = arguments.suite, arguments.quick, arguments.workers
    load_suite(suite)  # an unknown name is refused before anything runs
    if workers is not None and workers < 1:
        raise ValueError(f"--workers: expected at least 1, got {workers}")
    notebooks, out = notebooks_dir(), arguments.out.resolve() / (f"{suite}-quick" if quick else suite)
    executed = out / "notebooks"
    executed.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    papermill_log = logging.getLogger("papermill")
    papermill_log.setLevel(logging.INFO)
    papermill_log.addFilter(lambda record: not str(record.msg).startswith(("Executing Cell", "Ending Cell")))
    os.environ.setdefault("TQDM_MININTERVAL", "5")  # a line of progress every few seconds, not every tenth
    start = time.monotonic()
    for name, parameters in (QUICK if quick else REPRODUCE).items():
        parameters = {**parameters, "suite": suite, "out": str(out), "workers": workers}
        parameters["check"] = not arguments.no_check
        run_notebook(notebooks / f"{name}.ipynb", executed / f"{name}.ipynb", parameters)
    print(f"\n{(out / 'main_table.md').read_text()}")
    print(f"ACC and BWT in per cent, mean ± standard deviation over orders; {time.monotonic() - start:.0f} s")
    print(f"table, curves and executed notebooks: {out}\nscores and materialised models (safe to remove): {cache_dir()}")
    return 0


def run_notebook(source: Path, target: Path, parameters: dict[str, Any]) -> None:
    """Execute a notebook with papermill; an unknown parameter is an error (papermill only warns).

    Raises:
        ValueError: the notebook has no such parameter, or a cell failed.
    """
    import papermill

    known = papermill.inspect_notebook(str(source))
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise ValueError(f"{source.name} has no parameter {unknown[0]!r}; it takes {', '.join(known)}")
    try:
        papermill.execute_notebook(
            str(source),
            str(target),
            parameters,
            kernel_name="python3",
            progress_bar=False,
            log_output=True,
            cwd=str(source.parent),
        )
    except papermill.PapermillExecutionError as error:
        fault = f"{error.ename}: {error.evalue}"
        raise ValueError(f"{source.name} failed in cell {error.exec_count}: {fault}\nsee {target}") from None


if __name__ == "__main__":
    sys.exit(main())
