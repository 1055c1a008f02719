"""``python -m cmmlib.bench.files``: merging model files, against raw input and output and against a plain script.

Towers with the shapes of CLIP's are written to a temporary folder. Then all take turns, each as a process of its own:

* **raw**: read every file whole, one after the other, and write one of them again, with a flush;
* **script**: what everybody writes: ``load_file`` of all, a loop over the names, ``save_file``;
* **merge**: ``cmm merge``;
* with ``--state``, **start**, **add** (each model) and **export**.

Seconds are medians over rounds, beyond those of ``import torch`` (raw: beyond those of Python).  The first round warms the
system's file cache and does not count.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..terminal import run_command
from .whole_process import Cost, cost_of

# Import nothing heavy here: on Linux a child's peak memory starts at that of the process that forks it

LAYERS = {"ViT-B/32": 12, "ViT-B/16": 12, "ViT-L/14": 24}

RAW = """
import os, sys
*files, out = sys.argv[1:]
for path in files:
    with open(path, "rb") as file:
        content = file.read()
with open(out, "wb") as file:
    file.write(content)
    file.flush()
    os.fsync(file.fileno())
"""

SCRIPTS = {
    "weight_average": "base[name] + sum(model[name] - base[name] for model in models) / len(models)",
    "task_arithmetic": "base[name] + 0.3 * sum(model[name] - base[name] for model in models)",
    "magmax": "base[name] + 0.5 * functools.reduce(lambda a, b: torch.where(b.abs() >= a.abs(), b, a), "
    "[model[name] - base[name] for model in models])",
}
SCRIPT = """
import functools, sys, torch
from safetensors.torch import load_file, save_file
base, *models = [load_file(path) for path in sys.argv[1:-1]]
save_file({{name: {rule} for name in base}}, sys.argv[-1])
"""

METHODS: dict[str, list[str]] = {
    "weight_average": [],
    "task_arithmetic": [],
    "magmax": [],
    "ties": [],
    "opcm": [],
    "dop-exact": ["--method", "dop", "--set", "solver=exact"],
}


def commands(name: str, root: Path, models: list[Path], arguments: argparse.Namespace) -> Iterator[tuple[str, list[str]]]:
    """What is run in one round for a method: its label, and Python's arguments."""
    base, out, state = root / "base", root / "out", root / "state"
    files = [str(folder / "model.safetensors") for folder in (base, *models)]
    yield "raw", ["-c", RAW, *files, str(root / "raw")]
    if name in SCRIPTS:
        yield "script", ["-c", SCRIPT.format(rule=SCRIPTS[name]), *files, str(root / "script")]
    memory = ["--memory", arguments.memory] if arguments.memory else []
    method = ["--base", str(base), *(METHODS[name] or ["--method", name])]
    cmm = ["-W", "ignore", "-m", "cmmlib.cli"]
    yield "merge", [*cmm, "merge", *method, *memory, "--out", str(out), *map(str, models)]
    if arguments.state:
        yield "start", [*cmm, "start", str(state), *method]
        for number, model in enumerate(models, 1):
            yield f"add {number}", [*cmm, "add", str(state), str(model), "--name", f"model {number}", *memory]
        yield "export", [*cmm, "export", str(state), str(root / "exported")]


def measured(name: str, root: Path, models: list[Path], arguments: argparse.Namespace) -> dict[str, Cost]:
    """Median cost of everything that is run for a method, beyond the interpreter's or torch's."""
    rounds: dict[str, list[Cost]] = {}
    for _ in range(arguments.rounds + 1):
        started = {"raw": cost_of("-c", "pass"), "torch": cost_of("-c", "import torch")}
        for label, command in commands(name, root, models, arguments):
            cost, before = cost_of(*command), started["raw" if label == "raw" else "torch"]
            beyond = Cost(cost.seconds - before.seconds, cost.cpu_seconds - before.cpu_seconds, cost.peak_mib)
            rounds.setdefault(label, []).append(beyond)
        for made in ("out", "state", "exported"):
            shutil.rmtree(root / made, ignore_errors=True)
    return {label: Cost(*map(statistics.median, zip(*costs[1:], strict=True))) for label, costs in rounds.items()}


def main() -> int:
    """Write the towers, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", choices=LAYERS, default="ViT-B/32")
    parser.add_argument("--layers", type=int, help="fewer to go faster; the largest tensor stays what it is")
    parser.add_argument("--models", type=int, nargs="+", default=[3])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", metavar="SIZE", help="of cmm merge and cmm add")
    parser.add_argument("--state", action="store_true", help="also start, add and export")
    parser.add_argument("--folder", type=Path, help="where the temporary folder is made (default: the system's place)")
    arguments = parser.parse_args()
    layers = arguments.layers or LAYERS[arguments.backbone]
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        root = Path(folder)
        models = [root / f"model-{number}" for number in range(1, max(arguments.models) + 1)]
        for seed, place in enumerate([root / "base", *models]):
            tower = [str(place), arguments.backbone, str(layers), str(seed), *([str(root / "base")] if seed else [])]
            subprocess.run([sys.executable, "-m", "cmmlib.bench.tower_folder", *tower], check=True)
        size = (root / "base" / "model.safetensors").stat().st_size / 1e6
        print(f"{arguments.backbone}, {layers} layers, {size:.0f} MB a model; medians of {arguments.rounds} rounds\n")
        print(f"{'method':16}{'models':>7}  {'':10}{'seconds':>8}{'CPU s':>7}{'peak MiB':>10}{'x raw':>7}{'x script':>10}")
        for name in arguments.methods:
            for count in arguments.models:
                costs = measured(name, root, models[:count], arguments)
                for label, cost in costs.items():
                    script = cost.seconds / costs["script"].seconds if "script" in costs else float("nan")
                    print(
                        f"{name:16}{count:7}  {label:10}{cost.seconds:8.2f}{cost.cpu_seconds:7.1f}{cost.peak_mib:10.0f}"
                        f"{cost.seconds / costs['raw'].seconds:7.2f}{script:10.2f}",
                        flush=True,
                    )
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command("files", main))
