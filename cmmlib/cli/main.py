"""The command ``cmm``: what it is called with and what it answers.  Nothing heavy is imported until a command runs.

``cmm reproduce`` only calls papermill on the notebooks; the other commands are in `cmmlib.cli.commands`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

Parameters = dict[str, dict[str, Any]]

TEN = list(range(40, 50))

REPRODUCE: dict[str, Parameters] = {
    "mini": {
        "03_accuracy_curves": {"seeds": {"8": TEN, "20": TEN[:3]}, "adam_seeds": TEN[:3]},
        "02_main_table": {"num_tasks": [8, 14, 20], "seeds": TEN, "adam_seeds": TEN[:3]},
    },
    "clip": {
        "03_accuracy_curves": {"seeds": {"8": TEN, "20": TEN[:3]}, "adam_seeds": TEN[:3]},
        "02_main_table": {"num_tasks": [8, 14, 20], "seeds": TEN, "adam_seeds": TEN},
    },
}
"""What the full run of a suite injects into the notebooks, whose committed defaults are the quick setting.

The curves come first: the table then finds most of its sequences done.
"""

ALL_BACKBONES = ("clip",)
"""Suites whose backbones all run without ``--all``."""

FIGURES: Parameters = {
    "04_pareto_front": {},
    "05_dop_variants": {
        "num_tasks": [8, 14, 20],
        "cross": [["svd_proj_space", "others", "ridge"], ["svd_proj_space", "weighting"]],
    },
    "06_geometry": {
        "num_tasks": [8, 20],
        "seeds": TEN[:3],
        "methods": [
            "Weight average",
            "Task arithmetic",
            "TIES",
            "MagMax",
            "OPCM",
            "DOP",
            "DOP-exact (α=0.8)",
            "DOP-all (u)",
        ],
    },
    "07_sweeps": {
        "seeds": TEN[:3],
        "opcm_seeds": TEN[:5],
        "order_seeds": TEN,
        "opcm_alphas": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0],
        "dop_alphas": [0.0, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 1.0],
        "svd_epsilons": [0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.99, 0.99999],
        "spaces": ["u", "v", "uv"],
        "steps": [0, 10, 30, 200],
        "ema_betas": [0.0, 0.9, 0.99, 0.999, 1.0],
        "ema_steps": 200,
        "lambda_tasks": [8, 20],
        "order_rows": [
            *("Weight average", "Task arithmetic", "TIES", "MagMax", "OPCM (first version)", "OPCM"),
            *("DOP-exact (α=0.8)", "DOP-exact (balanced)", "DOP-all (u)"),
        ],
    },
    "10_fair_baselines": {
        "num_tasks": [8, 14, 20],
        "seeds": TEN,
        "tuning_seeds": [50, 51, 52],
        "scaling_factors": [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0],
        "compare_rows": ["OPCM", "DOP-exact (α=0.8)", "DOP-exact (balanced)", "DOP-all (u)"],
    },
}
"""What ``--all`` runs besides, on the first backbone: the papers' other figures and our own."""

QUICK: Parameters = {
    "02_main_table": {"num_tasks": [8], "seeds": TEN[:3], "adam_seeds": []},
}


EXIT_CODES = """exit codes:
  0    done
  2    refused, or wrongly called: the message says why; nothing was changed
  3    the state is in use by another process: try again later
  4    the system failed (disk full, no permission): nothing was changed
  130  interrupted: nothing was changed, or only what was finished
"""


def main(argv: list[str] | None = None) -> int:
    """Entry point; gives the exit code."""
    arguments = _parser().parse_args(argv)
    warned: list[str] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.showwarning = lambda message, *_, **__: warned.append(_warn(str(message)))
            result = arguments.run(arguments)
    except KeyboardInterrupt:
        return _failed(arguments, 130, "interrupted; what was finished is kept, the same command goes on from there")
    except BlockingIOError as error:
        return _failed(arguments, 3, str(error))
    except (ValueError, TypeError, FileNotFoundError, FileExistsError, NotADirectoryError) as error:
        return _failed(arguments, 2, str(error))
    except OSError as error:
        return _failed(arguments, 4, str(error))
    if isinstance(result, int):
        return result
    if arguments.json:
        print(json.dumps({**result, "warnings": warned}, ensure_ascii=False))
    else:
        from .commands import as_text

        print(as_text(arguments.command, result))
    return 0


def _warn(message: str) -> str:
    print(f"cmm: warning: {message}", file=sys.stderr)
    return message


def _failed(arguments: argparse.Namespace, code: int, message: str) -> int:
    print(f"cmm: {message}", file=sys.stderr)
    if getattr(arguments, "json", False):
        print(json.dumps({"error": message, "code": code}, ensure_ascii=False))
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cmm",
        description="Continual model merging: models are merged as they arrive, and the papers' tables reproduced.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, summary: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name, help=summary, description=summary, epilog=EXIT_CODES, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        sub.set_defaults(run=_lazily(name), json=False)
        return sub

    one = command("start", "begin a merge that lives in a folder")
    one.add_argument("state", type=Path, metavar="STATE", help="a new folder")
    _method_arguments(one)
    one = command("add", "merge one more model into a state: all or nothing")
    one.add_argument("state", type=Path, metavar="STATE")
    one.add_argument("model", metavar="MODEL", help="a folder, a .safetensors or .bin file, a hub id, or a LoRA adapter's")
    one.add_argument("--name", help="what the history calls it (default: its file's or folder's name)")
    one.add_argument("--revision", help="commit, branch or tag of a hub id")
    one.add_argument("--base", help="where the base is now, if it has moved")
    one.add_argument("--allow-repeat", action="store_true", help="merge a model that has been merged before once more")
    _actor_arguments(one)
    one = command("status", "what has been merged so far")
    one.add_argument("state", type=Path, metavar="STATE")
    one = command("export", "write the merged model as a folder that from_pretrained opens")
    one.add_argument("state", type=Path, metavar="STATE")
    one.add_argument("out", type=Path, metavar="OUT", help="a new folder")
    one.add_argument("--base", help="where the base is now, if it has moved")
    _output_arguments(one)
    one = command("merge", "merge models in one go: start, add …, export")
    _method_arguments(one)
    one.add_argument("models", nargs="+", metavar="MODEL")
    one.add_argument("--out", type=Path, required=True, metavar="OUT", help="a new folder")
    one.add_argument("--allow-repeat", action="store_true", help="let a model occur more than once")
    _actor_arguments(one)
    _output_arguments(one)
    for sub in set(commands.choices.values()):
        sub.add_argument("--json", action="store_true", help="print the result as JSON")

    reproduce = command("reproduce", "run the notebooks with papermill and leave the table and the curves")
    reproduce.add_argument("--suite", default="mini", help="mini (embedded, the default) or clip (from the hub)")
    reproduce.add_argument(
        "--backbone",
        action="append",
        metavar="NAME",
        help="of the suite; may be repeated (default: mini's first, all of clip's)",
    )
    reproduce.add_argument("--quick", action="store_true", help="a first table: 8 tasks, 3 orders, the first backbone")
    reproduce.add_argument(
        "--all", action="store_true", help="all backbones; of the first, the other figures and the fair baselines too"
    )
    reproduce.add_argument("--orders", type=int, metavar="N", help="only the first N of the ten orders")
    reproduce.add_argument("--out", type=Path, default=Path("figures"), help="folder of the results (default: figures)")
    reproduce.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="sequences at a time (default: one per core or CUDA device, of all of a cluster)",
    )
    reproduce.add_argument(
        "--ray", nargs="?", const="local", metavar="ADDRESS", help="run on Ray: here, or on the cluster at ADDRESS"
    )
    reproduce.add_argument("--device", help="where to merge and score (default: cuda where there is any, else cpu)")
    reproduce.add_argument("--no-check", action="store_true", help="do not compare with the committed reference run")
    reproduce.add_argument("--limit", type=int, metavar="N", help="score at most N images per task, for a quick look")
    reproduce.add_argument("--precision", help="float32 (default) or bfloat16, in which images are scored")
    reproduce.add_argument("--models-dir", metavar="DIR", help="clip: models in DIR/<owner>/<name> instead of the hub's")
    reproduce.add_argument("--data-dir", metavar="DIR", help="clip: data sets in DIR/<owner>/<name> instead of the hub's")
    reproduce.add_argument("--revisions", metavar="FILE", help="clip: the revisions of another run, from its sources.csv")
    reproduce.set_defaults(run=_reproduce)

    one = command("report", "one HTML file of what `reproduce` left, to send to a colleague")
    help_ = "a folder that `reproduce` printed, as figures/mini/ViT-mini-12"
    one.add_argument("runs", type=Path, nargs="+", metavar="RUN", help=help_)
    one.set_defaults(run=_report)
    return parser


def _method_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--base", required=True, help="the pretrained model: a folder, a .safetensors file or a hub id")
    parser.add_argument("--revision", help="commit, branch or tag of a hub id given as base")
    parser.add_argument("--method", default="opcm", help="name of the method (default: opcm)")
    parser.add_argument("--set", action="append", default=[], metavar="P=VALUE", help="a parameter of the method")
    parser.add_argument("--linear", action="append", metavar="PATTERN", help="names of linear weights")
    parser.add_argument("--compute-dtype", metavar="DTYPE", help="float32 or float64 (default: as the base, not below)")
    parser.add_argument("--reference-compat", action="store_true", help="as the published code where it leaves the paper")


def _output_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dtype", help="float16, bfloat16, float32 or float64 (default: the base's)")
    parser.add_argument("--whole", action="store_true", help="a complete CLIP model, with the base's text tower")
    parser.add_argument("--max-shard-gb", type=float, default=5.0, metavar="GB", help="split larger weights (default: 5)")


def _actor_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--actors", type=int, metavar="N", help="merge the layers of a large model on N Ray actors")
    parser.add_argument("--ray", default="local", metavar="ADDRESS", help="their cluster (default: Ray on this machine)")


def _lazily(name: str) -> Callable[[argparse.Namespace], Any]:
    """The command of that name, whose module is imported when it runs."""

    def run(arguments: argparse.Namespace) -> Any:
        from . import commands

        return getattr(commands, name)(arguments)

    return run


def _reproduce(arguments: argparse.Namespace) -> int:
    from ..paths import cache_dir, notebooks_dir, run_dir
    from ..suites import load_suite

    quick = arguments.quick
    if arguments.jobs is not None and arguments.jobs < 1:
        raise ValueError(f"--jobs: expected at least 1, got {arguments.jobs}")
    if arguments.ray is not None:
        from ..experiments.cluster import require_ray

        require_ray()
    if arguments.orders is not None and not 1 <= arguments.orders <= len(TEN):
        raise ValueError(f"--orders: expected 1 to {len(TEN)}, got {arguments.orders}")
    options = {
        key: value
        for key in ("limit", "precision", "models_dir", "data_dir", "revisions")
        if (value := getattr(arguments, key)) is not None
    }
    for key in ("models_dir", "data_dir", "revisions"):
        if key in options:  # the notebooks run in a folder of their own
            options[key] = str(Path(options[key]).absolute())
    suite = load_suite(arguments.suite, **options)  # what cannot work is refused before anything runs
    every = suite.backbones if arguments.all or suite.name in ALL_BACKBONES else suite.backbones[:1]
    backbones = arguments.backbone or (suite.backbones[:1] if quick else every)
    for backbone in backbones:
        if backbone not in suite.backbones:
            raise ValueError(f"--backbone {backbone!r}: suite {suite.name} has {', '.join(suite.backbones)}")
    import logging

    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    papermill_log = logging.getLogger("papermill")
    papermill_log.setLevel(logging.INFO)
    papermill_log.addFilter(lambda record: not str(record.msg).startswith(("Executing Cell", "Ending Cell")))
    os.environ.setdefault("TQDM_MININTERVAL", "5")  # a line of progress every few seconds, not every tenth
    start = time.monotonic()
    tables = []
    for backbone in backbones:
        out = arguments.out.resolve() / run_dir(f"{suite.name}-quick" if quick else suite.name, backbone)
        (out / "notebooks").mkdir(parents=True, exist_ok=True)
        common = {"suite": suite.name, "suite_options": options, "backbone": backbone, "out": str(out)}
        common |= {"jobs": arguments.jobs, "ray": arguments.ray, "device": arguments.device}
        common |= {"check": not arguments.no_check}
        figures = FIGURES if arguments.all and backbone == backbones[0] else {}
        notebooks = QUICK if quick else REPRODUCE[suite.name] | figures
        for name, parameters in notebooks.items():
            source, target = notebooks_dir() / f"{name}.ipynb", out / "notebooks" / f"{name}.ipynb"
            known = parameters_of(source)
            mine = {key: value for key, value in common.items() if key in known}
            run_notebook(source, target, _first_orders(parameters, arguments.orders) | mine)
        tables.append(f"{suite.name}, {backbone}: {out}\n\n{(out / 'main_table.md').read_text()}")
    print("", *tables, sep="\n")
    print(f"ACC and BWT in per cent, mean ± standard deviation over orders; {time.monotonic() - start:.0f} s")
    print(
        f"tables, curves and executed notebooks lie there; scores and what can be made again (safe to remove): {cache_dir()}"
    )
    return 0


def _first_orders(parameters: dict[str, Any], orders: int | None) -> dict[str, Any]:
    """The parameters of a notebook with at most so many seeds, which are lists or lists by number of tasks."""
    cut = dict(parameters)
    for key in cut:
        if key.endswith("seeds"):
            given = cut[key]
            cut[key] = {n: s[:orders] for n, s in given.items()} if isinstance(given, dict) else given[:orders]
    return cut


def _report(arguments: argparse.Namespace) -> int:
    from ..experiments.report import write_report

    for folder in arguments.runs:
        print(write_report(folder))
    return 0


def parameters_of(notebook: Path) -> list[str]:
    """The names of a notebook's parameters."""
    import papermill

    return list(papermill.inspect_notebook(str(notebook)))


def run_notebook(source: Path, target: Path, parameters: dict[str, Any]) -> None:
    """Execute a notebook with papermill; an unknown parameter is an error (papermill only warns).

    ``target`` appears when it is done or has failed: papermill writes anew after every cell, which a kill would cut short.

    Raises:
        ValueError: the notebook has no such parameter, or a cell failed.
    """
    import papermill

    known = parameters_of(source)
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise ValueError(f"{source.name} has no parameter {unknown[0]!r}; it takes {', '.join(known)}")
    unfinished = target.with_name(f".{target.name}")
    try:
        papermill.execute_notebook(
            str(source),
            str(unfinished),
            parameters,
            kernel_name="python3",
            progress_bar=False,
            log_output=True,
            cwd=str(source.parent),
        )
    except papermill.PapermillExecutionError as error:
        os.replace(unfinished, target)
        fault = f"{error.ename}: {error.evalue}"
        raise ValueError(f"{source.name} failed in cell {error.exec_count}: {fault}\nsee {target}") from None
    os.replace(unfinished, target)


if __name__ == "__main__":
    sys.exit(main())
