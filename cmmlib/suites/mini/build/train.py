"""Build time only: the tiny CLIP itself, its pretraining and its fine-tuning."""

from __future__ import annotations

import copy
import math
import os
from collections import Counter
from collections.abc import Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from tokenizers.pre_tokenizers import ByteLevel
from torch.nn.functional import cross_entropy, normalize
from tqdm import tqdm
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from . import glyphs
from .. import render
from ..tasks import TASKS, MiniTask

SEED = 0
STEPS = {"ViT-mini/12": 5500, "ViT-mini/9": 5500, "ViT-mini-L/9": 3500}  # a larger tower learns more in each
PRETRAIN = {
    backbone: SimpleNamespace(per_task=4000, steps=steps, batch=192, lr=1e-3, weight_decay=0.05, save_every=250)
    for backbone, steps in STEPS.items()
}
FINETUNE = SimpleNamespace(images=4000, steps=500, batch=64, lr=1e-4, weight_decay=0.0)
NARROW = dict(hidden_size=96, intermediate_size=384, num_hidden_layers=4, num_attention_heads=3, image_size=36)
WIDE = dict(hidden_size=128, intermediate_size=512, num_hidden_layers=6, num_attention_heads=4, image_size=36)
VISION = {  # the shapes of the vision towers: what sets the backbones apart
    "ViT-mini/12": NARROW | dict(patch_size=12),
    "ViT-mini/9": NARROW | dict(patch_size=9),
    "ViT-mini-L/9": WIDE | dict(patch_size=9),
}
TEXT = dict(hidden_size=64, intermediate_size=256, num_hidden_layers=2, num_attention_heads=2)
PROJECTION = 64
CONTEXT = 24  # tokens of the longest prompt that the text tower takes
MEAN, STD = (torch.tensor(getattr(CLIPImageProcessorPil, f"image_{k}")).view(3, 1, 1) for k in ("mean", "std"))


def one_cycle(step: int, steps: int, peak: float) -> float:
    """Learning rate: a linear rise over the first tenth, then half a cosine down to zero."""
    rise = steps / 10
    return peak * (step / rise if step < rise else (1 + math.cos(math.pi * (step - rise) / (steps - rise))) / 2)


def batch_of(images: np.ndarray, step: int, size: int, *, seed: int = SEED, purpose: int) -> np.ndarray:
    """Indices of a training batch: a function of the step alone, so a resumed run draws the same ones."""
    return np.random.Generator(np.random.PCG64([seed, purpose, step])).integers(len(images), size=size)


def pixels(images: np.ndarray) -> torch.Tensor:
    """uint8 [n, 36, 36, 3] to what the image processor makes of it, float [n, 3, 36, 36]."""
    return (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - MEAN) / STD


def image_features(model: CLIPModel, images: np.ndarray) -> torch.Tensor:
    """Normalised image embeddings, [n, projection]."""
    return normalize(model.visual_projection(model.vision_model(pixel_values=pixels(images)).pooler_output), dim=-1)


def text_features(model: CLIPModel, tokens: dict[str, torch.Tensor]) -> torch.Tensor:
    """Normalised text embeddings, [n, projection]."""
    return normalize(model.text_projection(model.text_model(**tokens).pooler_output), dim=-1)


@torch.no_grad()
def zero_shot_head(model: CLIPModel, tokenizer: CLIPTokenizer, task: MiniTask) -> torch.Tensor:
    """Class weights [classes, projection]: mean of the normalised prompt embeddings, normalised again."""
    rows = [
        text_features(model, tokenizer(task.prompts(label), padding=True, return_tensors="pt")).mean(0)
        for label in range(len(task.class_names))
    ]
    return normalize(torch.stack(rows), dim=-1)


@torch.no_grad()
def accuracy(model: CLIPModel, head: torch.Tensor, images: np.ndarray, labels: np.ndarray) -> float:
    """Share of images whose nearest class weight is their own, in percent."""
    guesses = (image_features(model, images) @ head.T).argmax(1).numpy()
    return float(100 * (guesses == labels).mean())


def learn_merges(words: Counter[str]) -> list[tuple[str, str]]:
    """Byte-pair merges until every word is one token; ties are broken by name, so that a rebuild agrees."""
    pieces = {word: [*word[:-1], word[-1] + "</w>"] for word in words}
    merges = []
    while True:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in pieces.items():
            for pair in pairwise(parts):
                pairs[pair] += words[word]
        if not pairs:
            return merges
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        for parts in pieces.values():
            for k in range(len(parts) - 2, -1, -1):
                if tuple(parts[k : k + 2]) == best:
                    parts[k : k + 2] = ["".join(best)]


def make_tokenizer() -> CLIPTokenizer:
    """Byte-pair encoding learned on the suite's own prompts, in CLIP's form."""
    cut = CLIPTokenizer().backend_tokenizer.pre_tokenizer.pre_tokenize_str
    prompts = [prompt for task in TASKS for k in range(len(task.class_names)) for prompt in task.prompts(k)]
    merges = learn_merges(Counter(word for prompt in prompts for word, _ in cut(prompt)))
    # as in CLIP: every byte, every byte at the end of a word, merges, and the two special tokens last
    alphabet = sorted(ByteLevel.alphabet())
    words = alphabet + [byte + "</w>" for byte in alphabet] + [a + b for a, b in merges]
    words = dict.fromkeys([*words, "<|startoftext|>", "<|endoftext|>"])  # two merges can give one word
    return CLIPTokenizer({word: i for i, word in enumerate(words)}, merges, model_max_length=CONTEXT)


def save_preprocessing(folder: Path, tokenizer: CLIPTokenizer) -> None:
    """Write the tokenizer and the image processor that all backbones share."""
    tokenizer.save_pretrained(folder)
    vocabulary = tokenizer.backend_tokenizer.model
    vocabulary.save(str(folder))  # vocab.json and merges.txt, for readers other than transformers 5
    side = render.SIDE
    CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side}).save_pretrained(folder)


def make_base(backbone: str, tokenizer: CLIPTokenizer) -> CLIPModel:
    """A freshly initialised CLIPModel."""
    special = dict(bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id)
    text = (
        TEXT
        | special
        | dict(vocab_size=len(tokenizer), max_position_embeddings=CONTEXT, pad_token_id=tokenizer.eos_token_id)
    )
    torch.manual_seed(SEED)
    config = CLIPConfig(
        text_config=text | dict(projection_dim=PROJECTION),
        vision_config=VISION[backbone] | dict(projection_dim=PROJECTION),
        projection_dim=PROJECTION,
    )
    return CLIPModel(config)


def generic_images(path: Path, per_task: int) -> np.ndarray:
    """The pretraining set, uint8 [20 x per_task, 36, 36, 3], task after task; rendered once into `path`."""
    if not path.exists():
        images = np.empty((len(TASKS), per_task, render.SIDE, render.SIDE, 3), dtype=np.uint8)
        for t, task in enumerate(tqdm(TASKS, desc="rendering")):
            for i in range(per_task):
                images[t, i] = render.draw(task, "generic", i)
        partial = path.with_suffix(".partial.npy")
        np.save(partial, images.reshape(-1, *images.shape[2:]))
        os.replace(partial, path)
    return np.load(path)


def pretrain(model: CLIPModel, tokenizer: CLIPTokenizer, images: np.ndarray, how: SimpleNamespace, saved: Path) -> None:
    """Train both towers: each image against the captions of all classes, one random template per class.

    images: as made by `generic_images`.  how: one of `PRETRAIN`.  saved: keeps the state of training, to go on from.
    """
    names = list(dict.fromkeys(name for task in TASKS for name in task.class_names))
    targets = np.array(
        [names.index(task.class_names[render.label_of(task, i)]) for task in TASKS for i in range(how.per_task)]
    )
    captions = {name: [] for name in names}
    for task in TASKS:
        for label, name in enumerate(task.class_names):
            captions[name] += task.prompts(label)
    optimizer = torch.optim.AdamW(model.parameters(), lr=how.lr, weight_decay=how.weight_decay)
    first = 0
    if saved.exists():
        state = torch.load(saved, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    bar = tqdm(range(first, how.steps), desc="pretraining", initial=first, total=how.steps)
    for step in bar:
        rows = batch_of(images, step, how.batch, purpose=1)
        choice = batch_of(names, step, len(names), purpose=2)
        texts = [captions[name][c % len(captions[name])] for name, c in zip(names, choice, strict=True)]
        tokens = tokenizer(texts, padding=True, return_tensors="pt")
        logits = model.logit_scale.exp() * image_features(model, images[rows]) @ text_features(model, tokens).T
        loss = cross_entropy(logits, torch.from_numpy(targets[rows]))
        update(optimizer, loss, one_cycle(step, how.steps, how.lr))
        with torch.no_grad():
            model.logit_scale.clamp_(max=math.log(100))
        if step % 50 == 0:
            bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
        if (step + 1) % how.save_every == 0:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
            torch.save(state, saved.with_suffix(".partial"))
            os.replace(saved.with_suffix(".partial"), saved)


def update(optimizer: torch.optim.Optimizer, loss: torch.Tensor, lr: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 1.0)
    optimizer.step()


def training_set(task: MiniTask) -> tuple[np.ndarray, torch.Tensor]:
    """What a model is fine-tuned on: uint8 [n, 36, 36, 3] and labels [n]."""
    scans = glyphs.scans(task.name)["train"] if task.kind == "scan" else [None] * FINETUNE.images
    images = np.stack([render.draw(task, "train", i, scan) for i, scan in enumerate(scans)])
    return images, torch.tensor([render.label_of(task, i) for i in range(len(images))])


def finetune(start: CLIPModel, heads: Sequence[torch.Tensor], tasks: Sequence[MiniTask], seed: int = SEED) -> CLIPModel:
    """A copy of a model with its vision tower trained on a task, or on several at once; everything else stays as it is.

    heads: as `zero_shot_head` makes them, in the order of the tasks; an image is told from other classes of its task
        alone.  There are as many steps per task as for a single one.
    seed: of the order in which the training images come.
    """
    model = copy.deepcopy(start)
    model.requires_grad_(False)
    model.vision_model.requires_grad_(True)
    sets = [training_set(task) for task in tasks]
    images, labels = np.concatenate([images for images, _ in sets]), torch.cat([labels for _, labels in sets])
    head = torch.cat(list(heads))
    owner = torch.arange(len(tasks)).repeat_interleave(torch.tensor([len(rows) for rows in heads]))  # task of each class
    task_of = torch.arange(len(tasks)).repeat_interleave(torch.tensor([len(labels) for _, labels in sets]))
    first = torch.tensor([0, *accumulate(len(rows) for rows in heads)])  # class of each task
    steps = FINETUNE.steps * len(tasks)
    optimizer = torch.optim.AdamW(model.vision_model.parameters(), lr=FINETUNE.lr, weight_decay=FINETUNE.weight_decay)
    for step in range(steps):
        rows = batch_of(images, step, FINETUNE.batch, seed=seed, purpose=3)
        logits = model.logit_scale.exp() * image_features(model, images[rows]) @ head.T
        logits = logits.masked_fill(owner != task_of[rows, None], -math.inf)
        loss = cross_entropy(logits, first[task_of[rows]] + labels[rows])
        update(optimizer, loss, one_cycle(step, steps, FINETUNE.lr))
    return model
