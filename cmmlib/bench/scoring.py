"""``python -m cmmlib.bench.scoring``: scoring one tower against several in one pass, making the image cache, reading it.

Random images and random towers, with the shapes of the mini suite and of CLIP's ViT-B/32 at 224 pixels.  What is
compared is measured in turn, round after round, so that a busy machine slows all of it alike; ratios are those within a
round.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate

from ..evaluation.images import TestImages, normalised
from ..evaluation.scorer import ZeroShotScorer
from ..suites.mini.suite import MiniSuite
from ..suites.suite import Task

TOWERS = (1, 2, 4, 8)
WORKERS = (1, 2)
TASK = Task("random", ("a", "b"), ("{}",))


class RandomSuite:
    """One test set of random images, on the base in a folder."""

    tasks, limit, precision, content_hash = (TASK,), None, "float32", "0"

    def __init__(self, name: str, base: str | Path, count: int, height: int, width: int, kind: str) -> None:
        import datasets
        from PIL import Image

        self.name, self.backbones, self.folder, self.key = name, (name,), base, "random"
        rng, files = np.random.default_rng(0), []
        for _ in range(count):
            small = Image.fromarray(rng.integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8))
            buffer = io.BytesIO()
            small.resize((width, height)).save(buffer, kind)
            files.append({"bytes": buffer.getvalue(), "path": None})
        features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
        columns = {"image": files, "label": [i % 2 for i in range(count)]}
        self.data = datasets.Dataset.from_dict(columns, features=features)

    def base(self, backbone: str) -> str:
        return str(self.folder)

    def test_set(self, task: str):
        return self.data

    def test_set_key(self, task: str) -> str:
        return self.key


def clip_base(folder: Path) -> Path:
    """A CLIPModel with the vision tower and processor of ViT-B/32, random, and the mini suite's little text tower."""
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel
    from transformers.utils import logging

    shutil.copytree(MiniSuite().base(MiniSuite().backbones[0]), folder)
    config = json.loads((folder / "config.json").read_text()) | {"vision_config": {}, "projection_dim": 512}
    config["text_config"]["projection_dim"] = 512
    logging.disable_progress_bar()
    torch.manual_seed(0)
    CLIPModel(CLIPConfig(**config)).save_pretrained(folder)
    CLIPImageProcessorPil().save_pretrained(folder)
    return folder


def in_turn(works: Mapping[object, Callable[[], object]], rounds: int) -> tuple[dict, dict]:
    """Median seconds of each, and its median ratio to the first within a round; one round before does not count."""
    times: dict[object, list[float]] = {key: [] for key in works}
    for number in range(rounds + 1):
        for key, work in works.items():
            start = time.perf_counter()
            work()
            if number:
                times[key].append(time.perf_counter() - start)
    first = next(iter(times.values()))
    ratios = {key: statistics.median(a / b for a, b in zip(found, first, strict=True)) for key, found in times.items()}
    return {key: statistics.median(found) for key, found in times.items()}, ratios


def bench_towers(suite: RandomSuite, device: str, batch: int | None, rounds: int) -> list[list]:
    scorer = ZeroShotScorer(suite, suite.name, device=device, batch_size=batch)
    own = scorer._tower(None)
    towers = {i: {name: tensor + 1e-4 for name, tensor in own.items()} for i in range(max(TOWERS))}
    images = len(suite.data)

    def work(k: int) -> Callable[[], object]:
        return lambda: scorer.score_many({i: towers[i] for i in range(k)}, {i: [TASK.name] for i in range(k)}, together=k)

    times, ratios = in_turn({k: work(k) for k in TOWERS}, rounds)
    what = f"{suite.name}, {device} {suite.precision}, {images} images, batches of {scorer.batch_size}"
    return [[what, k, f"{k * images / times[k]:.1f}", f"{k / ratios[k]:.2f}"] for k in TOWERS]


def bench_building(suite: RandomSuite, rounds: int) -> list[list]:
    processor = ZeroShotScorer(suite, suite.name)._processor

    def work(workers: int) -> Callable[[], object]:
        def build() -> None:
            shutil.rmtree(TestImages(suite, TASK.name, processor, workers=workers).folder)

        return build

    times, ratios = in_turn({workers: work(workers) for workers in WORKERS}, rounds)
    images = len(suite.data)
    return [
        [f"{suite.name}: {images} images prepared", w, f"{images / times[w]:.0f}", f"{1 / ratios[w]:.2f}"] for w in WORKERS
    ]


def bench_reading(suite: RandomSuite, rounds: int) -> list[list]:
    scorer = ZeroShotScorer(suite, suite.name)
    images = TestImages(suite, TASK.name, scorer._processor)
    count = len(images.labels)

    def first() -> None:
        images._verified.clear()
        np.array(images.read(0, count))

    works = {
        "read": lambda: np.array(images.read(0, count)),
        "read for the first time, checksums verified": first,
        "read and normalised on the CPU": lambda: normalised(torch.tensor(images.read(0, count)), scorer._table),
    }
    times, ratios = in_turn(works, rounds)
    return [[f"{suite.name}: {what}", f"{count / times[what]:.0f}", f"{1 / ratios[what]:.2f}"] for what in works]


def main() -> None:
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
        many = RandomSuite("ViT-B/32", real.folder, options.gpu_images, 224, 224, "JPEG")
        many.key = "many"
        for precision in ("float32", "bfloat16"):
            many.precision = precision
            show(bench_towers(many, "cuda", None, options.rounds), head)


def show(rows: list[list], head: list[str]) -> None:
    print(tabulate(rows, head, disable_numparse=True), "\n", flush=True)


if __name__ == "__main__":
    main()
