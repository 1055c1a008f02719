"""Building the parts of the zoo that are missing: the base, the texts, and a fine-tuned encoder for each task.

A stopped build goes on where it was: a model is kept if it has the same base, texts and recipe.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from tqdm import tqdm

from ....files import write_flushed
from ....paths import reference_dir
from ...zoos.checksums import tensors_hash
from ...zoos.folders import ensure_folder, folder_of
from ...zoos.recipe_files import save, stored_recipe
from ..base import HUB_ID, REVISION, is_base, write_base
from ..splits import TEST_SETS, Examples, examples_hash, made_from, split
from ..suite import BACKBONES
from ..tasks import TASKS, TextTask
from .finetuning import RECIPES, accuracy, finetune, head_of, seed_of

CARD = f"""---
license: apache-2.0
base_model: {HUB_ID}
---
[{HUB_ID}](https://huggingface.co/{HUB_ID}/tree/{REVISION}), by the
sentence-transformers project, with changed weights: fine-tuned on the task `{{task}}` of cmmlib's text suite. Both are
under the Apache License 2.0, https://www.apache.org/licenses/LICENSE-2.0.
"""
"""What stands beside each model: whose it is, under which licence, and that it was changed."""


def build_texts(out: Path, task: TextTask) -> dict[str, Examples]:
    """The texts of a task in `out`, extracted if they are not there for this version of the packages and the task."""
    path = out / "texts" / f"{task.name}.json"
    recipe = made_from(task)
    stored: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    if stored.get("recipe") != recipe:
        stored = {"recipe": recipe, **{part: examples._asdict() for part, examples in split(task).items()}}
        for backbone in BACKBONES:
            _incomplete(out, backbone)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_flushed(path, json.dumps(stored, ensure_ascii=False, indent=0))
    return {part: Examples(**stored[part]) for part in ("train", "test")}


def require_same(task: TextTask, test: Examples) -> None:
    """Raises ValueError if a task of the suite has another test set than the reference run had."""
    committed = json.loads(TEST_SETS.read_text())
    if task in TASKS and committed[task.name] != examples_hash(test):
        raise ValueError(
            f"the test set of task {task.name} is not the one that {TEST_SETS.name} records: has the code changed?"
        )


def build_model(
    out: Path, backbone: str, base: Any, tokenizer: Any, head: torch.Tensor, task: TextTask, examples: Examples
) -> Any:
    """The encoder fine-tuned on a task, trained if it is not in `out` yet."""
    how = RECIPES[backbone]
    path = folder_of(out, backbone) / task.name / "model.safetensors"
    seed = seed_of(task, how)
    recipe = _recipe(base, head, examples, how, seed)
    if stored_recipe(path) != recipe:
        _incomplete(out, backbone)
        model = finetune(base, tokenizer, head, examples, how, seed)
        path.parent.mkdir(parents=True, exist_ok=True)
        model.config.save_pretrained(path.parent)
        write_flushed(path.with_name("README.md"), CARD.format(task=task.name))
        save(_arrays(model), path, recipe)
    return type(base).from_pretrained(path.parent).eval()


def build(out: Path, backbone: str, tasks: tuple[TextTask, ...] = TASKS) -> dict[str, dict[str, float]]:
    """Make what is missing of a backbone in the zoo folder `out`.

    Returns:
        ``zero_shot`` and ``individual``: task → accuracy in per cent.  They are also written to accuracies.csv.
    """
    from pandas import DataFrame
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # of reading each model, within our own
    ensure_folder(out / "base", write_base, is_base)
    base = AutoModel.from_pretrained(out / "base", dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(out / "base")
    models, test_sets, zero_shot, individual = {}, {}, {}, {}
    bar = tqdm(tasks, desc=f"fine-tuning {backbone}")
    for task in bar:
        bar.set_postfix_str(task.name)
        texts = build_texts(out, task)
        require_same(task, texts["test"])
        head = head_of(base, tokenizer, task)
        model = build_model(out, backbone, base, tokenizer, head, task, texts["train"])
        models[task.name], test_sets[task.name] = tensors_hash(_arrays(model)), examples_hash(texts["test"])
        zero_shot[task.name] = round(accuracy(base, tokenizer, head, texts["test"]), 2)
        individual[task.name] = round(accuracy(model, tokenizer, head, texts["test"]), 2)
        bar.write(f"{task.name}: {zero_shot[task.name]} → {individual[task.name]}")
    accuracies = {"zero_shot": zero_shot, "individual": individual}
    chance = {task.name: round(100 / len(task.class_names), 2) for task in tasks}
    table = DataFrame({"chance": chance, **accuracies}).rename_axis("task")
    folder = folder_of(out, backbone)
    contents: Mapping[Path, Any] = {
        out / "test_sets.json": test_sets,
        folder / "checksums.json": models,  # last: a backbone that has them is complete
    }
    write_flushed(folder / "accuracies.csv", table.to_csv())
    for path, content in contents.items():
        write_flushed(path, json.dumps(content, indent=2) + "\n")
    return accuracies


def _incomplete(out: Path, backbone: str) -> None:
    """No suite opens a backbone of which a model or a text is about to change, until its build has come to the end."""
    (folder_of(out, backbone) / "checksums.json").unlink(missing_ok=True)


def like_the_reference(out: Path, backbone: str) -> int:
    """How many models of a backbone in the zoo `out` are, bit for bit, those that the reference run's tables are of."""
    theirs = json.loads((reference_dir("text", backbone) / "checksums.json").read_text())
    ours = json.loads((folder_of(out, backbone) / "checksums.json").read_text())
    return sum(theirs.get(task) == found for task, found in ours.items())


def _recipe(base: Any, head: torch.Tensor, examples: Examples, how: SimpleNamespace, seed: int) -> str:
    start, texts = tensors_hash(_arrays(base)), examples_hash(examples)
    return sha256(repr((seed, start, tensors_hash({"head": head.numpy()}), texts, how)).encode()).hexdigest()


def _arrays(model: Any) -> dict[str, Any]:
    return {name: tensor.detach().contiguous().numpy() for name, tensor in model.state_dict().items()}
