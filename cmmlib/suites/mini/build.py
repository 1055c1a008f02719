"""Rebuilds the zoo from seeds: `python -m cmmlib.suites.mini.build [--out DIR]`.

Pretrains a tiny CLIP on clean renderings, fine-tunes its vision tower on every task, stores the differences
in eight bits and measures what is stored. A stopped build goes on where it was: pretraining saves its state
every few hundred steps, and a task is skipped where its delta belongs to the same base and recipe.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import shutil
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from tqdm import tqdm
from transformers import CLIPModel, CLIPTokenizer

from ...paths import cache_dir
from . import glyphs, render, store
from .tasks import TASKS, MiniTask
from .train import (
    FINETUNE,
    PRETRAIN,
    PROJECTION,
    SEED,
    TEXT,
    VISION,
    accuracy,
    finetune,
    make_base,
    make_tokenizer,
    pretrain,
    zero_shot_head,
)


def recipe(*ingredients: object) -> str:
    """Names what a stored model was made from, so that it is made again when that changes."""
    return sha256(repr((SEED, VISION, TEXT, PROJECTION, *ingredients)).encode()).hexdigest()


def stored_recipe(path: Path) -> str | None:
    """The recipe in a safetensors file's metadata; None without such a file."""
    if not path.exists():
        return None
    with safe_open(path, "numpy") as file:
        return file.metadata().get("recipe")


def save(tensors: dict[str, np.ndarray], path: Path, made_from: str) -> None:
    """Write a safetensors file with its recipe, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path.with_suffix(".partial"), metadata={"format": "pt", "recipe": made_from})
    os.replace(path.with_suffix(".partial"), path)


def arrays(model: CLIPModel) -> dict[str, np.ndarray]:
    return {name: value.detach().contiguous().numpy() for name, value in model.state_dict().items()}


def with_tower(model: CLIPModel, tower: dict[str, np.ndarray]) -> CLIPModel:
    """A copy of a CLIP model with another vision tower."""
    model = copy.deepcopy(model)
    model.load_state_dict(model.state_dict() | {name: torch.from_numpy(value) for name, value in tower.items()})
    return model.eval()


def base_recipe(out: Path, tokenizer: CLIPTokenizer) -> str:
    """What pretraining depends on; how the tasks' own domains look is not part of it."""
    drawn = [(task.name, task.class_names, task.templates, task.kind) for task in TASKS]
    words = sorted(tokenizer.get_vocab().items())
    looks = (render.GENERIC_CONTRAST, render.GENERIC_NOISE)
    return recipe(drawn, words, PRETRAIN, looks, sha256((out / "assets.npz").read_bytes()).hexdigest())


def delta_recipe(base: CLIPModel, task: MiniTask) -> str:
    """What fine-tuning on a task depends on."""
    return recipe(store.tensors_hash(arrays(base)), task, FINETUNE)


def build_base(out: Path) -> tuple[CLIPModel, CLIPTokenizer]:
    """The pretrained model in `out`, trained if it is not there yet."""
    # like the glyph masks, a tokenizer that ships is given, not made: token ids decide what the seeds mean
    stored = (out / "base", render.ZOO / "base")
    folder = next((folder for folder in stored if (folder / "tokenizer.json").exists()), None)
    tokenizer = CLIPTokenizer.from_pretrained(folder) if folder else make_tokenizer()
    made_from = base_recipe(out, tokenizer)
    path = out / "base" / "model.safetensors"
    if stored_recipe(path) != made_from:
        work = cache_dir() / f"mini-build-{made_from[:12]}"  # may be deleted once the zoo is complete
        work.mkdir(parents=True, exist_ok=True)
        model = make_base(out / "base", tokenizer)
        pretrain(model, tokenizer, work)
        model.config.architectures = ["CLIPModel"]
        model.config.save_pretrained(path.parent)
        save(arrays(model), path, made_from)
    return CLIPModel.from_pretrained(out / "base").eval(), tokenizer


def build_delta(out: Path, base: CLIPModel, head: torch.Tensor, task: MiniTask) -> dict[str, np.ndarray]:
    """The stored tower of a task (after rounding), trained if its delta is not in `out` yet."""
    path = out / "deltas" / f"{task.name}.safetensors"
    start = store.vision_tensors(arrays(base))
    made_from = delta_recipe(base, task)
    if stored_recipe(path) != made_from:
        tower = store.vision_tensors(arrays(finetune(base, head, task)))
        save(store.pack(start, tower), path, made_from)
    return store.unpack(start, load_file(path))


def build(out: Path) -> dict[str, dict[str, float]]:
    """Make whatever is missing in the zoo folder `out`; return and store accuracies (percent, by task)."""
    out.mkdir(parents=True, exist_ok=True)
    if not (render.ZOO / "assets.npz").exists():
        glyphs.make_assets(render.ZOO / "assets.npz")  # what the renderer reads
    if not (out / "assets.npz").exists():
        shutil.copy(render.ZOO / "assets.npz", out)
    base, tokenizer = build_base(out)
    towers, test_sets, zero_shot, individual = {}, {}, {}, {}
    bar = tqdm(TASKS, desc="fine-tuning")
    for task in bar:
        bar.set_postfix_str(task.name)
        head = zero_shot_head(base, tokenizer, task)
        tower = build_delta(out, base, head, task)
        images, labels = render.draw_test(task.name)
        towers[task.name] = store.tensors_hash(tower)
        test_sets[task.name] = store.pixels_hash(images, labels)
        zero_shot[task.name] = round(accuracy(base, head, images, labels), 2)
        individual[task.name] = round(accuracy(with_tower(base, tower), head, images, labels), 2)
    accuracies = {"zero_shot": zero_shot, "individual": individual}
    checksums = {"towers": towers, "test_sets": test_sets}
    for name, content in {"accuracies": accuracies, "checksums": checksums}.items():
        (out / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
    return accuracies


def main() -> None:
    parser = argparse.ArgumentParser(description="Rebuild the zoo of the mini suite from seeds.")
    parser.add_argument("--out", type=Path, default=Path("mini-zoo"), help="zoo folder (default: %(default)s)")
    # one thread: sums then come out the same everywhere, and a busy machine does not slow it down much
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    accuracies = build(arguments.out)
    print(f"{'task':18}{'zero-shot':>10}{'individual':>12}")
    for task in TASKS:
        print(f"{task.name:18}{accuracies['zero_shot'][task.name]:10.1f}{accuracies['individual'][task.name]:12.1f}")
    for n in (8, 14, 20):
        means = [np.mean(list(by_task.values())[:n]) for by_task in accuracies.values()]
        print(f"mean of first {n:<4}{means[0]:10.1f}{means[1]:12.1f}")


if __name__ == "__main__":
    main()
