"""Building the parts of the zoo that are missing, backbone by backbone.

A build pretrains a tiny CLIP on clean renderings, fine-tunes its vision tower on every task, stores the differences in
eight bits and measures what is stored.  A stopped build goes on where it was: pretraining saves its state every few hundred
steps, and a task is skipped if its delta has the same base and recipe.
"""

from __future__ import annotations

import json
import shutil
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file
from tqdm import tqdm
from transformers import CLIPModel, CLIPTokenizer

from ....paths import cache_dir
from ...zoos.checksums import pixels_hash, tensors_hash
from ...zoos.folders import folder_of
from ...zoos.recipe_files import save, stored_recipe
from ..packing import pack, unpack, vision_tensors
from ..render import draw_test
from ..shipped import ZOO
from ..tasks import TASKS, MiniTask
from .architecture import BASE_SEEDS, SEED, arrays, make_base, with_tower
from .embeddings import accuracy, zero_shot_head
from .finetuning import FINETUNE_OF, finetune
from .glyphs import make_assets
from .pretraining import PRETRAIN, generic_images, pretrain
from .recipes import base_recipe, delta_recipe, pictures
from .tokenizer import make_tokenizer, save_preprocessing


def build_inputs(out: Path) -> CLIPTokenizer:
    """Copy the glyph masks and the tokenizer to `out`, and return the tokenizer.

    Both are made only if the zoo that ships lacks them.
    """
    if not (ZOO / "assets.npz").exists():
        make_assets(ZOO / "assets.npz")  # where the renderer reads them
    if not (ZOO / "tokenizer").exists():
        save_preprocessing(ZOO / "tokenizer", make_tokenizer())
    out.mkdir(parents=True, exist_ok=True)
    if not (out / "assets.npz").exists():
        shutil.copy(ZOO / "assets.npz", out)
    if not (out / "tokenizer").exists():
        shutil.copytree(ZOO / "tokenizer", out / "tokenizer")
    return CLIPTokenizer.from_pretrained(out / "tokenizer")


def build_base(out: Path, backbone: str, tokenizer: CLIPTokenizer) -> CLIPModel:
    """The pretrained model in `out`, trained if it is not there yet."""
    made_from = base_recipe(out, backbone, tokenizer)
    path = folder_of(out, backbone) / "base" / "model.safetensors"
    if stored_recipe(path) != made_from:
        work = cache_dir() / "mini-build"  # may be deleted once the zoo is complete
        work.mkdir(parents=True, exist_ok=True)
        how = PRETRAIN[backbone]
        same_for_all = sha256(repr((how.per_task, *pictures(out))).encode()).hexdigest()
        images = generic_images(work / f"{same_for_all[:12]}.npy", how.per_task)
        model = make_base(backbone, tokenizer)
        pretrain(model, tokenizer, images, how, work / f"{made_from[:12]}.pt", BASE_SEEDS.get(backbone, SEED))
        model.config.architectures = ["CLIPModel"]
        model.config.save_pretrained(path.parent)
        save(arrays(model), path, made_from)
    return CLIPModel.from_pretrained(path.parent).eval()


def build_delta(
    out: Path, backbone: str, base: CLIPModel, head: torch.Tensor, task: MiniTask, seed: int = SEED
) -> dict[str, np.ndarray]:
    """The tower of a task as it is stored, after rounding; trained if its delta is not in `out` yet."""
    path = folder_of(out, backbone) / "deltas" / f"{task.name}.safetensors"
    start = vision_tensors(arrays(base))
    made_from = delta_recipe(backbone, base, task, seed)
    if stored_recipe(path) != made_from:
        tower = vision_tensors(arrays(finetune(base, [head], [task], seed, FINETUNE_OF[backbone])))
        save(pack(start, tower), path, made_from)
    return unpack(start, load_file(path))


def build(out: Path, backbone: str, seed: int = SEED) -> dict[str, dict[str, float]]:
    """Make what is missing of a backbone in the zoo folder `out`.

    Args:
        seed: of the order of batches in fine-tuning.  With a seed other than `SEED`, the base is the one that ships, if
            one does.

    Returns:
        ``zero_shot`` and ``individual``: task → accuracy in per cent.  They are also written to accuracies.json.
    """
    tokenizer = build_inputs(out)
    folder = folder_of(out, backbone)
    shipped = folder_of(ZOO, backbone) / "base"
    if seed == SEED or not shipped.exists():
        base = build_base(out, backbone, tokenizer)
    else:
        shutil.copytree(shipped, folder / "base", dirs_exist_ok=True)
        base = CLIPModel.from_pretrained(folder / "base").eval()
    towers, test_sets, zero_shot, individual = {}, {}, {}, {}
    bar = tqdm(TASKS, desc=f"fine-tuning {backbone}")
    for task in bar:
        bar.set_postfix_str(task.name)
        head = zero_shot_head(base, tokenizer, task)
        tower = build_delta(out, backbone, base, head, task, seed)
        images, labels = draw_test(task.name)
        towers[task.name] = tensors_hash(tower)
        test_sets[task.name] = pixels_hash(images, labels)
        zero_shot[task.name] = round(accuracy(base, head, images, labels), 2)
        individual[task.name] = round(accuracy(with_tower(base, tower), head, images, labels), 2)
    accuracies = {"zero_shot": zero_shot, "individual": individual}
    contents = {out / "test_sets.json": test_sets, folder / "accuracies.json": accuracies, folder / "checksums.json": towers}
    for path, content in contents.items():  # the checksums last: a backbone that has them is complete
        path.write_text(json.dumps(content, indent=2) + "\n")
    return accuracies
