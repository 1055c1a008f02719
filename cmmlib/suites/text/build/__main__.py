"""Build the zoo of the text suite: ``python -m cmmlib.suites.text.build [--backbone NAME] [--out DIR]``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch

from ....terminal import run_command
from ..splits import examples_hash
from ..suite import zoo_dir
from ..tasks import TASKS
from .finetuning import RECIPES, require_peft
from .zoo import build, build_texts, like_the_reference


def main() -> None:
    parser = argparse.ArgumentParser(description="Fine-tune the text suite's encoder on every task.")
    parser.add_argument("--out", type=Path, help="zoo folder (default: in the cache)")
    parser.add_argument("--backbone", choices=RECIPES, action="append", help="which, repeatable (default: all)")
    parser.add_argument("--texts", action="store_true", help="only extract the texts, and print the test sets' checksums")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.texts:
        texts = {task.name: build_texts(arguments.out or zoo_dir(), task) for task in TASKS}
        print(json.dumps({name: examples_hash(parts["test"]) for name, parts in texts.items()}, indent=2))
        return
    chosen = arguments.backbone or list(RECIPES)
    if any(RECIPES[backbone].rank for backbone in chosen):
        require_peft()  # before the first model is trained
    for backbone in chosen:
        accuracies = build(arguments.out or zoo_dir(), backbone)
        print(f"{backbone:18}{'zero-shot':>10}{'individual':>12}{'chance':>9}")
        for task in TASKS:
            scores = [accuracies[kind][task.name] for kind in ("zero_shot", "individual")]
            print(f"{task.name:18}{scores[0]:10.1f}{scores[1]:12.1f}{100 / len(task.class_names):9.1f}")
        for n in (4, 7, 10):
            means = [np.mean(list(by_task.values())[:n]) for by_task in accuracies.values()]
            print(f"mean of first {n:<4}{means[0]:10.1f}{means[1]:12.1f}")
        equal = like_the_reference(arguments.out or zoo_dir(), backbone)
        print(f"{equal} of {len(TASKS)} models equal the reference run's, bit for bit\n")


if __name__ == "__main__":
    raise SystemExit(run_command("text.build", main, kept="what is finished is kept; run it again to go on"))
