"""Rebuild the zoo from seeds: ``python -m cmmlib.suites.mini.build [--backbone NAME] [--out DIR]``.

``--seed 1 --out DIR`` fine-tunes the base that ships again, with batches in another order, for `MiniSuite(DIR)`.
``--backbone ViT-mini-S/12 --out DIR`` makes a backbone that does not ship, see `fourth`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from ....terminal import run_command
from ..suite import BACKBONES
from ..tasks import TASKS
from .architecture import SEED, VISION
from .zoo import build


def main() -> None:
    parser = argparse.ArgumentParser(description="Rebuild the zoo of the mini suite from seeds.")
    parser.add_argument("--out", type=Path, help="zoo folder (default: mini-zoo)")
    parser.add_argument("--backbone", choices=VISION, action="append", help="which, repeatable (default: those that ship)")
    parser.add_argument("--seed", type=int, default=SEED, help="of fine-tuning alone; needs an --out of its own")
    # with one thread sums are the same everywhere, and a busy machine does not slow it down much
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.seed < 0:
        parser.error(f"--seed is {arguments.seed}; seeds are 0 or more")
    if arguments.seed != SEED and arguments.out is None:
        parser.error("--seed needs --out: a folder of its own, so that no other zoo is overwritten")
    torch.set_num_threads(arguments.threads)
    for backbone in arguments.backbone or BACKBONES:
        accuracies = build(arguments.out or Path("mini-zoo"), backbone, arguments.seed)
        print(f"{backbone:18}{'zero-shot':>10}{'individual':>12}")
        for task in TASKS:
            print(f"{task.name:18}{accuracies['zero_shot'][task.name]:10.1f}{accuracies['individual'][task.name]:12.1f}")
        for n in (8, 14, 20):
            means = [np.mean(list(by_task.values())[:n]) for by_task in accuracies.values()]
            print(f"mean of first {n:<4}{means[0]:10.1f}{means[1]:12.1f}")


if __name__ == "__main__":
    raise SystemExit(run_command("mini.build", main, kept="what is finished is kept; run it again to go on"))
