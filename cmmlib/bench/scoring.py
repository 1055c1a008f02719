"""``python -m cmmlib.bench.scoring``: the speed of scoring several towers in one pass, and of making and reading images.

Images and towers are random, with the shapes of the mini suite and of CLIP's ViT-B/32 at 224 pixels.  In each round all
variants take turns, so that a busy machine slows them alike; ratios are taken within a round.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate

from ..evaluation.clip_encoder import ClipEncoder
from ..evaluation.image_store import TestImages
from ..evaluation.preprocessing import normalised, value_table
from ..evaluation.scorer import ZeroShotScorer
from ..suites.mini.suite import MiniSuite
from ..terminal import run_command
from .random_suite import TASK, RandomSuite, clip_base
from .timing import Key, Work, in_turn, ready

TOWERS = (1, 2, 4, 8)
WORKERS = (1, 2)


def compared(works: Mapping[Key, Work], rounds: int) -> tuple[dict[Key, float], dict[Key, float]]:
    """Median seconds of each, and the median of its ratio to the first within a round, after a round that is not counted."""
    for work in works.values():
        work()
    times = in_turn({key: ready(work) for key, work in works.items()}, rounds)
    first = next(iter(times.values()))
    ratios = {key: statistics.median(a / b for a, b in zip(found, first, strict=True)) for key, found in times.items()}
    return {key: statistics.median(found) for key, found in times.items()}, ratios


def bench_towers(suite: RandomSuite, device: str, batch: int | None, rounds: int) -> list[list]:
    """Table rows: images times towers per second, by the number of towers that are scored in one pass."""
    scorer = ZeroShotScorer(suite, suite.name, device=device, batch_size=batch)
    own = scorer.own_tower
    towers = {i: {name: tensor + 1e-4 for name, tensor in own.items()} for i in range(max(TOWERS))}
    images = len(suite.data)

    def work(k: int) -> Work:
        return lambda: scorer.score_many({i: towers[i] for i in range(k)}, {i: [TASK.name] for i in range(k)}, together=k)

    times, ratios = compared({k: work(k) for k in TOWERS}, rounds)
    what = f"{suite.name}, {device} {suite.precision}, {images} images, batches of {scorer.batch_size}"
    return [[what, k, f"{k * images / times[k]:.1f}", f"{k / ratios[k]:.2f}"] for k in TOWERS]


def _clip(suite: RandomSuite) -> ClipEncoder:
    return ClipEncoder(suite.base(suite.name), torch.device("cpu"))


def bench_building(suite: RandomSuite, rounds: int) -> list[list]:
    """Table rows: images prepared per second, by the number of threads."""
    processor = _clip(suite).processor

    def work(workers: int) -> Work:
        def build() -> None:
            shutil.rmtree(TestImages(suite, TASK.name, processor, workers=workers).folder)

        return build

    times, ratios = compared({workers: work(workers) for workers in WORKERS}, rounds)
    images = len(suite.data)
    return [
        [f"{suite.name}: {images} images prepared", w, f"{images / times[w]:.0f}", f"{1 / ratios[w]:.2f}"] for w in WORKERS
    ]


def bench_reading(suite: RandomSuite, rounds: int) -> list[list]:
    """Table rows: prepared images read per second."""
    processor = _clip(suite).processor
    images, table = TestImages(suite, TASK.name, processor), value_table(processor)
    count = len(images.labels)

    def first() -> None:
        images.forget_verified()
        np.array(images.read(0, count))

    works: dict[str, Work] = {
        "read": lambda: np.array(images.read(0, count)),
        "read for the first time, checksums verified": first,
        "read and normalised on the CPU": lambda: normalised(torch.tensor(images.read(0, count)), table),
    }
    times, ratios = compared(works, rounds)
    return [[f"{suite.name}: {what}", f"{count / times[what]:.0f}", f"{1 / ratios[what]:.2f}"] for what in works]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=32, help="at 224 pixels, on the CPU")
    parser.add_argument("--gpu-images", type=int, default=4096, help="at 224 pixels, on a GPU")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    gpu = torch.cuda.is_available()
    with tempfile.TemporaryDirectory() as place:
        os.environ["CMMLIB_CACHE"] = place
        mini = RandomSuite("mini suite", MiniSuite().base(MiniSuite().backbones[0]), 150, 36, 36, "PNG")
        real = RandomSuite("ViT-B/32", clip_base(Path(place) / "base"), options.images, 500, 700, "JPEG")
        print(f"{torch.get_num_threads()} threads, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")
        for suite in (mini, real):
            show(bench_building(suite, options.rounds), ["image cache", "workers", "images per s", "ratio to first"])
            show(bench_reading(suite, 3 * options.rounds), ["image cache", "images per s", "ratio to first"])
        head = ["images × towers per s", "towers in one pass", "", "ratio to one"]
        for suite, batch in ((mini, None), (real, min(16, options.images))):
            show(bench_towers(suite, "cpu", batch, options.rounds), head)
        if not gpu:
            print("CUDA: not measured")
            return
        many = RandomSuite("ViT-B/32", real.folder, options.gpu_images, 224, 224, "JPEG", key="many")
        for precision in ("float32", "bfloat16"):
            many.precision = precision
            show(bench_towers(many, "cuda", None, options.rounds), head)


def show(rows: list[list], head: list[str]) -> None:
    """Print a table."""
    print(tabulate(rows, head, disable_numparse=True), "\n", flush=True)


if __name__ == "__main__":
    raise SystemExit(run_command("scoring", main))
