"""The arguments of the command ``cmm``."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

EXIT_CODES = """exit codes:
  0    done
  1    `check` found what would stop or falsify a run
  2    refused, or wrongly called: the message says why; nothing was changed
  3    the state is in use by another process: try again later
  4    the system failed (disk full, no permission): nothing was changed
  5    done, but the answer could not be written to the output
  130  interrupted: nothing was changed, or only what was finished
"""


def make_parser() -> argparse.ArgumentParser:
    """Make the parser.  What it parses has ``command``, and ``json``: whether to print the result as JSON."""
    parser = argparse.ArgumentParser(
        prog="cmm",
        description="Continual model merging: models are merged as they arrive, and the papers' tables reproduced.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary, add_arguments, answers_in_json in (
        ("start", "begin a merge that lives in a folder", _start, True),
        ("add", "merge one more model into a state: all or nothing", _add, True),
        ("status", "what has been merged so far", _status, True),
        ("export", "write the merged model as a folder that from_pretrained opens", _export, True),
        ("merge", "merge models in one go: start, add …, export", _merge, True),
        ("methods", "the merge methods: hyper-parameters, defaults, papers and what they keep", _methods, True),
        ("reproduce", "run the notebooks with papermill and leave the table and the curves", _reproduce, False),
        ("check", "before a run of the CLIP suite: is all in reach, whole and as expected?", _check, True),
        ("report", "one HTML file of what `reproduce` left, to send to a colleague", _report, False),
    ):
        command = commands.add_parser(
            name, help=summary, description=summary, epilog=EXIT_CODES, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        add_arguments(command)
        if answers_in_json:
            command.add_argument("--json", action="store_true", help="print the result as JSON")
        else:
            command.set_defaults(json=False)
    return parser


_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30}


def number_of_bytes(text: str) -> int:
    """The bytes that a size such as ``1GiB``, ``800 MB`` or ``500000000`` stands for.

    Raises:
        argparse.ArgumentTypeError: it is no size.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?) *([a-z]*)", text.strip().lower())
    if match is None or match[2] not in _UNITS or (size := int(float(match[1]) * _UNITS[match[2]])) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write it as 1GiB or 800MB")
    return size


def _start(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("state", type=Path, metavar="STATE", help="a new folder")
    _method_arguments(parser)


def _add(parser: argparse.ArgumentParser) -> None:
    model = "a folder, a .safetensors or .bin file or a hub id, of a model or of a LoRA adapter"
    parser.add_argument("state", type=Path, metavar="STATE")
    parser.add_argument("model", metavar="MODEL", help=model)
    parser.add_argument("--name", help="its name in the history (default: the name of its file or folder)")
    parser.add_argument("--revision", help="commit, branch or tag of a hub id")
    parser.add_argument("--base", help="where the base is now, if it has moved")
    parser.add_argument("--method", metavar="FILE:FUNCTION", help="the state's method, where that is code of your own")
    parser.add_argument("--allow-repeat", action="store_true", help="merge a model again that has been merged before")
    _work_arguments(parser)


def _status(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("state", type=Path, metavar="STATE")


def _export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("state", type=Path, metavar="STATE")
    parser.add_argument("out", type=Path, metavar="OUT", help="a new folder")
    parser.add_argument("--base", help="where the base is now, if it has moved")
    parser.add_argument("--method", metavar="FILE:FUNCTION", help="the state's method, where that is code of your own")
    _output_arguments(parser)


def _merge(parser: argparse.ArgumentParser) -> None:
    _method_arguments(parser)
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--out", type=Path, required=True, metavar="OUT", help="a new folder")
    parser.add_argument("--allow-repeat", action="store_true", help="let a model occur more than once")
    _work_arguments(parser)
    _output_arguments(parser)


def _method_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--base", required=True, help="the pretrained model: a folder, a .safetensors file or a hub id")
    parser.add_argument("--revision", help="commit, branch or tag of a hub id given as base")
    parser.add_argument("--method", default="opcm", help="one of `cmm methods`, or path/to/file.py:function (default: opcm)")
    parser.add_argument("--set", action="append", default=[], metavar="P=VALUE", help="a parameter of the method")
    parser.add_argument("--linear", action="append", metavar="PATTERN", help="names of linear weights")
    parser.add_argument(
        "--compute-dtype", metavar="DTYPE", help="float32 or float64 (default: the base's, at least float32)"
    )
    parser.add_argument("--reference-compat", action="store_true", help="as the published code where it leaves the paper")


def _output_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dtype", help="float16, bfloat16, float32 or float64 (default: the base's)")
    parser.add_argument("--whole", action="store_true", help="a complete CLIP model, with the base's text tower")
    parser.add_argument("--max-shard-gb", type=float, default=5.0, metavar="GB", help="split larger weights (default: 5)")


def _work_arguments(parser: argparse.ArgumentParser) -> None:
    memory = "for the tensors of layers that are merged side by side, as 1GiB or 800MB (default: 704MiB)"
    parser.add_argument("--memory", type=number_of_bytes, metavar="SIZE", help=memory)
    parser.add_argument("--actors", type=int, metavar="N", help="merge the layers of a large model on N Ray actors")
    parser.add_argument("--ray", default="local", metavar="ADDRESS", help="their cluster (default: Ray on this machine)")


def _methods(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these; one of your own: path/to/file.py:function")


def _reproduce(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    backbone = "of the suite; may be repeated (default: mini's first, all of clip's and of text's)"
    everything = "all backbones, with every row; on the first, the other figures and the fair baselines too"
    jobs = "sequences at a time (default: one per core or CUDA device, with --ray those of the whole cluster)"
    ray = "run on Ray: on this machine, or on the cluster at ADDRESS"
    add("--suite", default="mini", help="mini (embedded, the default), clip (from the hub) or text (built by make text-zoo)")
    add("--backbone", action="append", metavar="NAME", help=backbone)
    add(
        "--quick",
        action="store_true",
        help="a first table on the first backbone: 8 tasks (of text 4), 3 orders; of clip 4 tasks, 200 images each",
    )
    add("--all", action="store_true", help=everything)
    rows = "rows, by label or by a method's name: OPCM kronecker path/to/file.py:function"
    seeds = "of the orders, as 40 41, or a paper's: dop, mingle (default: dop)"
    add("--methods", nargs="+", metavar="NAME", help=rows)
    add(
        "--tasks",
        nargs="+",
        type=int,
        metavar="N",
        help="numbers of tasks (default: 8 14 20, of text 4 7 10; with --quick fewer)",
    )
    add("--seeds", nargs="+", metavar="SEED|NAME", help=seeds)
    add("--orders", type=int, metavar="N", help="only the first N of the ten orders")
    add("--out", type=Path, help="folder of the results (default: figures, in the clone if there is one)")
    add("--jobs", type=int, metavar="N", help=jobs)
    add("--ray", nargs="?", const="local", metavar="ADDRESS", help=ray)
    add("--device", help="where to merge and score (default: cuda if there is a device, else cpu)")
    add(
        "--dry-run",
        action="store_true",
        help="say what would run, what is done, how long it takes, what is written and fetched",
    )
    add("--no-check", action="store_true", help="do not compare with the committed reference run")
    add("--limit", type=int, metavar="N", help="score at most N images or texts per task, for a quick look")
    add("--precision", help="of scoring: float32 (default) or bfloat16")
    _places(parser)


def _check(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--suite", default="clip", help="clip (the default): the only one that fetches anything")
    add("--backbone", action="append", metavar="NAME", help="may be repeated (default: all)")
    add("--tasks", type=int, metavar="N", help="the first N tasks (default: all)")
    _places(parser)


def _places(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--models-dir", metavar="DIR", help="clip: models in DIR/<owner>/<name> instead of the hub's")
    add("--data-dir", metavar="DIR", help="clip: data sets in DIR/<owner>/<name> instead of the hub's")
    add("--revisions", metavar="FILE", help="clip: the revisions of another run, from its sources.csv")


def _report(parser: argparse.ArgumentParser) -> None:
    runs = "a folder that `reproduce` printed, such as figures/mini/ViT-mini-12"
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help=runs)
