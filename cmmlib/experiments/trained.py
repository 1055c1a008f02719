"""Reference rows that use training data: `python -m cmmlib.experiments.trained [--out FILE] [--orders N]`.

Sequential fine-tuning trains one vision tower on the tasks of an order, one after the other, each as the zoo's tower of that
task was trained.  Joint training trains on all tasks at once, with as many steps per task.  Both start at the base.  A
stopped command goes on after the last task that was learnt.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from safetensors import safe_open
from safetensors.numpy import load_file
from tqdm import tqdm
from transformers import CLIPModel, CLIPTokenizer

from ..evaluation.scorer import ZeroShotScorer
from ..files import write_flushed
from ..paths import cache_dir
from ..suites.mini.build.architecture import arrays, with_tower
from ..suites.mini.build.embeddings import zero_shot_head
from ..suites.mini.build.finetuning import FINETUNE, finetune
from ..suites.mini.build.recipes import recipe
from ..suites.mini.packing import vision_tensors
from ..suites.mini.suite import BACKBONES, MiniSuite
from ..suites.suite import NO_ORDER, TRAINED
from ..suites.zoos.checksums import tensors_hash
from ..suites.zoos.recipe_files import save
from ..terminal import run_command
from .orders import task_order

SEQUENTIAL, JOINT = "C. Fine-tuned", "Joint training"
FIRST_SEED = 40


class Course(NamedTuple):
    """What one model learns: the first ``num_tasks`` tasks in the order of ``seed``, or jointly if that is `NO_ORDER`."""

    num_tasks: int
    seed: int

    def order(self, suite: MiniSuite) -> list[str]:
        """The names of the tasks in the order in which they arrive; for joint training in suite order."""
        tasks = suite.task_names(self.num_tasks)
        return list(tasks) if self.seed == NO_ORDER else task_order(tasks, self.seed)

    def steps(self, suite: MiniSuite) -> list[list[str]]:
        """The names of the tasks that each step learns together."""
        order = self.order(suite)
        return [order] if self.seed == NO_ORDER else [[task] for task in order]


class Trainer:
    """Trains and scores courses on one backbone of a zoo, and keeps the state of each in the cache.

    Attributes:
        recipe: hash of everything that decides the towers and their scores.
        folder: where the states are kept, one file per course.
    """

    def __init__(self, suite: MiniSuite, backbone: str) -> None:
        self.suite = suite
        self.base = CLIPModel.from_pretrained(suite.base(backbone)).eval()
        self.tokenizer = CLIPTokenizer.from_pretrained(suite.base(backbone))
        self.scorer = ZeroShotScorer(suite, backbone)
        tests = sorted(suite.checksums["test_sets"].items())
        self.recipe = recipe(backbone, tensors_hash(arrays(self.base)), suite.tasks, FINETUNE, tests)
        self.folder = cache_dir() / "mini-trained" / self.recipe[:12]

    def follow(self, course: Course) -> None:
        """Train and score the steps of a course that are not done yet."""
        path = self.folder / f"{course.num_tasks}-{course.seed}.safetensors"
        tower, rows = (load_file(path), _rows(path)) if path.exists() else (vision_tensors(arrays(self.base)), [])
        order, steps = course.order(self.suite), course.steps(self.suite)
        done = len(rows) // len(order)
        bar = tqdm(range(done, len(steps)), initial=done, total=len(steps), desc=f"{course.num_tasks} tasks, {course.seed}")
        for step in bar:
            learnt = [task for task in self.suite.tasks if task.name in steps[step]]
            heads = [zero_shot_head(self.base, self.tokenizer, task) for task in learnt]
            tower = vision_tensors(arrays(finetune(with_tower(self.base, tower), heads, learnt)))
            scores = self.scorer.score({name: torch.from_numpy(value) for name, value in tower.items()}, order)
            if course.seed == NO_ORDER:
                label, number, merged = JOINT, len(order), "all"
            else:
                label, number, merged = SEQUENTIAL, step + 1, learnt[0].name
            where = (label, course.num_tasks, course.seed, number, merged)
            rows += [(*where, position, task, *scores[task]) for position, task in enumerate(order, 1)]
            save(tower, path, self.recipe, rows=json.dumps(rows), whole=str(step + 1 == len(steps)))

    def scores(self) -> pd.DataFrame:
        """The scores of all finished courses: columns `TRAINED`."""
        rows = [row for path in self.folder.glob("*.safetensors") for row in _rows(path, whole=True)]
        return pd.DataFrame(rows, columns=TRAINED).sort_values(["label", "num_tasks", "seed", "step", "position"])


def _rows(path: Path, whole: bool = False) -> list[tuple]:
    """A course's scores so far; none if ``whole`` and the course is not finished."""
    with safe_open(path, "numpy") as file:
        notes = file.metadata()
    return [] if whole and notes["whole"] != "True" else [tuple(row) for row in json.loads(notes["rows"])]


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Train and score the mini suite's reference rows that see training data.")
    parser.add_argument("--out", type=Path, default=Path("trained.csv"), help="all scores (default: %(default)s)")
    parser.add_argument("--backbone", choices=BACKBONES, default="ViT-mini/12")
    parser.add_argument("--num-tasks", type=int, nargs="+", default=[8, 14, 20], help="(default: 8 14 20)")
    parser.add_argument("--orders", type=int, default=3, help="how many, from seed 40 on (default: %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # with one thread sums are the same everywhere
    suite = MiniSuite()
    for number in arguments.num_tasks:
        suite.task_names(number)
    trainer = Trainer(suite, arguments.backbone)
    for number in arguments.num_tasks:
        for seed in (*range(FIRST_SEED, FIRST_SEED + arguments.orders), NO_ORDER):
            trainer.follow(Course(number, seed))
            write_flushed(arguments.out, trainer.scores().to_csv(index=False))


if __name__ == "__main__":
    raise SystemExit(run_command("trained", main))
