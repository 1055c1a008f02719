"""Rebuilds the zoo from seeds: `python -m cmmlib.suites.mini.build [--backbone NAME] [--out DIR]`.

For each backbone: pretrains a tiny CLIP on clean renderings, fine-tunes its vision tower on every task, stores
the differences in eight bits and measures what is stored. A stopped build goes on where it was: pretraining saves
its state every few hundred steps, and a task is skipped where its delta belongs to the same base and recipe.
`--seed 1 --out DIR` fine-tunes the base that ships once more with batches in another order, for `MiniSuite(DIR)`.
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

from ....paths import cache_dir
from . import glyphs
from .. import render
from .. import store
from ..tasks import TASKS, MiniTask
from .train import FINETUNE, PRETRAIN, PROJECTION, SEED, TEXT, VISION, accuracy, finetune, generic_images, make_base, make_tokenizer, pretrain, save_preprocessing, zero_shot_head


def recipe(backbone: str, *ingredients: object, seed: int = SEED) -> str:
    """Names what a stored model was made from, so that it is made again when that changes."""
    return sha256(repr((seed, VISION[backbone], TEXT, PROJECTION, *ingredients)).encode()).hexdigest()


def stored_recipe(path: Path) -> str | None:
    """The recipe in a safetensors file's metadata; None without such a file."""
    if not path.exists():
        return None
    with safe_open(path, "numpy") as file:
        return file.metadata().get("recipe")


def save(tensors: dict[str, np.ndarray], path: Path, made_from: str, **notes: str) -> None:
    """Write a safetensors file with its recipe and notes, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path.with_suffix(".partial"), metadata={"format": "pt", "recipe": made_from, **notes})
    os.replace(path.with_suffix(".partial"), path)


def arrays(model: CLIPModel) -> dict[str, np.ndarray]:
    return {name: value.detach().contiguous().numpy() for name, value in model.state_dict().items()}


def with_tower(model: CLIPModel, tower: dict[str, np.ndarray]) -> CLIPModel:
    """A copy of a CLIP model with another vision tower."""
    model = copy.deepcopy(model)
    model.load_state_dict(model.state_dict() | {name: torch.from_numpy(value) for name, value in tower.items()})
    return model.eval()


def pictures(out: Path) -> tuple:
    """What the pretraining images depend on; how the tasks' own domains look is not part of it."""
    drawn = [(task.name, task.class_names, task.templates, task.kind) for task in TASKS]
    looks = (render.GENERIC_CONTRAST, render.GENERIC_NOISE)
    return drawn, looks, sha256((out / "assets.npz").read_bytes()).hexdigest()


def base_recipe(out: Path, backbone: str, tokenizer: CLIPTokenizer) -> str:
    """What pretraining depends on."""
    words = sorted(tokenizer.get_vocab().items())
    drawn, *rest = pictures(out)
    return recipe(backbone, drawn, words, PRETRAIN[backbone], *rest)


def delta_recipe(backbone: str, base: CLIPModel, task: MiniTask, seed: int = SEED) -> str:
    """What fine-tuning on a task depends on."""
    return recipe(backbone, store.tensors_hash(arrays(base)), task, FINETUNE, seed=seed)


def build_inputs(out: Path) -> CLIPTokenizer:
    """Copy to `out` what every build is given; like the glyph masks, a tokenizer that ships is given, not made."""
    if not (render.ZOO / "assets.npz").exists():
        glyphs.make_assets(render.ZOO / "assets.npz")  # what the renderer reads
    if not (render.ZOO / "tokenizer").exists():
        save_preprocessing(render.ZOO / "tokenizer", make_tokenizer())
    out.mkdir(parents=True, exist_ok=True)
    if not (out / "assets.npz").exists():
        shutil.copy(render.ZOO / "assets.npz", out)
    if not (out / "tokenizer").exists():
        shutil.copytree(render.ZOO / "tokenizer", out / "tokenizer")
    return CLIPTokenizer.from_pretrained(out / "tokenizer")


def build_base(out: Path, backbone: str, tokenizer: CLIPTokenizer) -> CLIPModel:
    """The pretrained model in `out`, trained if it is not there yet."""
    made_from = base_recipe(out, backbone, tokenizer)
    path = store.folder_of(out, backbone) / "base" / "model.safetensors"
    if stored_recipe(path) != made_from:
        work = cache_dir() / "mini-build"  # may be deleted once the zoo is complete
        work.mkdir(parents=True, exist_ok=True)
        how = PRETRAIN[backbone]
        same_for_all = sha256(repr((how.per_task, *pictures(out))).encode()).hexdigest()
        images = generic_images(work / f"{same_for_all[:12]}.npy", how.per_task)
        model = make_base(backbone, tokenizer)
        pretrain(model, tokenizer, images, how, work / f"{made_from[:12]}.pt")
        model.config.architectures = ["CLIPModel"]
        model.config.save_pretrained(path.parent)
        save(arrays(model), path, made_from)
    return CLIPModel.from_pretrained(path.parent).eval()


def build_delta(
    out: Path, backbone: str, base: CLIPModel, head: torch.Tensor, task: MiniTask, seed: int = SEED
) -> dict[str, np.ndarray]:
    """The stored tower of a task (after rounding), trained if its delta is not in `out` yet."""
    path = store.folder_of(out, backbone) / "deltas" / f"{task.name}.safetensors"
    start = store.vision_tensors(arrays(base))
    made_from = delta_recipe(backbone, base, task, seed)
    if stored_recipe(path) != made_from:
        tower = store.vision_tensors(arrays(finetune(base, [head], [task], seed)))
        save(store.pack(start, tower), path, made_from)
    return store.unpack(start, load_file(path))


def build(out: Path, backbone: str, seed: int = SEED) -> dict[str, dict[str, float]]:
    """Make whatever is missing of a backbone in the zoo folder `out`; return and store accuracies (percent, by task).

    seed: of the order of batches in fine-tuning; with any but the zoo's own, the base is the one that ships.
    """
    tokenizer = build_inputs(out)
    folder = store.folder_of(out, backbone)
    if seed == SEED:
        base = build_base(out, backbone, tokenizer)
    else:
        shutil.copytree(store.folder_of(render.ZOO, backbone) / "base", folder / "base", dirs_exist_ok=True)
        base = CLIPModel.from_pretrained(folder / "base").eval()
    towers, test_sets, zero_shot, individual = {}, {}, {}, {}
    bar = tqdm(TASKS, desc=f"fine-tuning {backbone}")
    for task in bar:
        bar.set_postfix_str(task.name)
        head = zero_shot_head(base, tokenizer, task)
        tower = build_delta(out, backbone, base, head, task, seed)
        images, labels = render.draw_test(task.name)
        towers[task.name] = store.tensors_hash(tower)
        test_sets[task.name] = store.pixels_hash(images, labels)
        zero_shot[task.name] = round(accuracy(base, head, images, labels), 2)
        individual[task.name] = round(accuracy(with_tower(base, tower), head, images, labels), 2)
    accuracies = {"zero_shot": zero_shot, "individual": individual}
    contents = {out / "test_sets.json": test_sets, folder / "accuracies.json": accuracies, folder / "checksums.json": towers}
    for path, content in contents.items():  # the checksums last: a backbone that has them is complete
        path.write_text(json.dumps(content, indent=2) + "\n")
    return accuracies


def main() -> None:
    parser = argparse.ArgumentParser(description="Rebuild the zoo of the mini suite from seeds.")
    parser.add_argument("--out", type=Path, help="zoo folder (default: mini-zoo)")
    parser.add_argument("--backbone", choices=VISION, action="append", help="which backbone, repeatable (default: all)")
    parser.add_argument("--seed", type=int, default=SEED, help="of fine-tuning alone; needs an --out of its own")
    # one thread: sums then come out the same everywhere, and a busy machine does not slow it down much
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.seed < 0:
        parser.error(f"--seed is {arguments.seed}; seeds are 0 or more")
    if arguments.seed != SEED and arguments.out is None:
        parser.error("--seed needs --out: a folder of its own, so that no other zoo is overwritten")
    torch.set_num_threads(arguments.threads)
    for backbone in arguments.backbone or VISION:
        accuracies = build(arguments.out or Path("mini-zoo"), backbone, arguments.seed)
        print(f"{backbone:18}{'zero-shot':>10}{'individual':>12}")
        for task in TASKS:
            print(f"{task.name:18}{accuracies['zero_shot'][task.name]:10.1f}{accuracies['individual'][task.name]:12.1f}")
        for n in (8, 14, 20):
            means = [np.mean(list(by_task.values())[:n]) for by_task in accuracies.values()]
            print(f"mean of first {n:<4}{means[0]:10.1f}{means[1]:12.1f}")


if __name__ == "__main__":
    main()
