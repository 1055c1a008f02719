"""Peak resident memory and time of `cmm add` for a ViT-L/14 vision tower (1.2 GB of float32), model by model.

    python -m cmmlib.bench.memory FOLDER [--models 10] [--layers 24] [--method opcm] [--set P=VALUE]

Weights are random, in the real shapes.  Needs 1.2 GB of disk each for the base, the new model and two generations.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from ..terminal import run_command

# Import nothing heavy here: on Linux a child's peak memory starts at that of the process that forks it


def write_tower(folder: Path, seed: int, layers: int, *base: Path) -> None:
    """Run `cmmlib.bench.tower_folder.write_tower` in its own process."""
    arguments = map(str, (folder, seed, layers, *base))
    subprocess.run([sys.executable, "-m", "cmmlib.bench.tower_folder", *arguments], check=True)


def measured(*command: str) -> tuple[float, float, float]:
    """Run Python with these arguments in a fresh process: (peak resident MiB, CPU seconds, seconds)."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL)
    _, code, usage = os.wait4(process.pid, 0)
    if code:
        raise SystemExit(f"{command} failed")
    return usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime, time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", type=int, default=10)
    parser.add_argument("--method", default="opcm")
    parser.add_argument("--layers", type=int, default=24, help="fewer to go faster; the largest tensor stays what it is")
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    root = arguments.folder
    state, cmm = root / f"state-{arguments.method}", ("-m", "cmmlib.cli")
    rows = [("interpreter", *measured("-c", "pass")), ("with torch", *measured("-c", "import torch"))]
    rows.append(("with cmmlib", *measured("-c", "import cmmlib.merging.merger, cmmlib.cli.states")))
    if not (root / "base" / "model.safetensors").exists():
        write_tower(root / "base", 0, arguments.layers)
    settings = [argument for setting in arguments.set for argument in ("--set", setting)]
    base = str(root / "base")
    rows.append(("start", *measured(*cmm, "start", str(state), "--base", base, "--method", arguments.method, *settings)))
    for number in range(1, arguments.models + 1):
        write_tower(root / "model", number, arguments.layers, root / "base")
        rows.append((f"add {number}", *measured(*cmm, "add", str(state), str(root / "model"), "--name", f"model {number}")))
        print(json.dumps(rows[-1]), flush=True)
    rows.append(("export", *measured(*cmm, "export", str(state), str(root / f"out-{arguments.method}"))))
    print(f"\n{'':12}  peak MiB CPU s  seconds")
    print("\n".join(f"{what:12}  {peak:7.0f}  {cpu:5.1f}  {seconds:7.1f}" for what, peak, cpu, seconds in rows))


if __name__ == "__main__":
    raise SystemExit(run_command("memory", main))
