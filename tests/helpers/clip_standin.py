"""A stand-in for the hub's content: every repository of the CLIP suite, tiny, with the real names, layouts and file formats.

Models are random and data sets noise of one colour per class: they show that everything is found, read and counted, and
no accuracy means anything.  ``write(folder)`` makes <folder>/models/<owner>/<name>/… and <folder>/datasets/…, to be
served by `hub.Hub.serve_folder` or given as models_dir and data_dir.
"""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cmmlib.suites.clip.suite import MODELS
from cmmlib.suites.clip.tasks import TASKS, ClipTask

SIZE = 32  # of images after preprocessing
CONTEXT = 77
TOWERS = {  # hidden size, heads, patch size
    "ViT-B/32": (32, 2, 16),
    "ViT-B/16": (32, 2, 8),
    "ViT-L/14": (48, 3, 8),
}
WEIGHTS = {"ViT-B/32": ["bin"], "ViT-B/16": ["bin"], "ViT-L/14": ["bin", "safetensors"]}
NEVER = b"never fetched"


def write(folder: Path, images: int = 24) -> Path:
    """Write all models and data sets, with at most ``images`` images per test split."""
    for backbone in MODELS:
        write_models(folder / "models", backbone)
    for task in TASKS:
        write_data(folder / "datasets" / task.dataset, task, images)
    return folder


# ---------------------------------------------------------------------------------------------- models


def write_models(folder: Path, backbone: str) -> None:
    """A base and its twenty fine-tuned towers, each the base and a task's own low-rank change."""
    from safetensors.torch import save_file
    from transformers import CLIPConfig, CLIPModel

    hidden, heads, patch = TOWERS[backbone]
    vocabulary, merges = _vocabulary()
    start, end = vocabulary["<|startoftext|>"], vocabulary["<|endoftext|>"]
    shared = {"num_hidden_layers": 2, "num_attention_heads": heads, "hidden_size": hidden, "intermediate_size": 2 * hidden}
    config = CLIPConfig(
        text_config=shared
        | {"vocab_size": len(vocabulary), "max_position_embeddings": CONTEXT, "projection_dim": hidden}
        | {"bos_token_id": start, "eos_token_id": end, "pad_token_id": end},
        vision_config=shared | {"image_size": SIZE, "patch_size": patch, "projection_dim": hidden},
        projection_dim=hidden,
    )
    state = CLIPModel(config).state_dict()
    generator = torch.Generator().manual_seed(patch + hidden)
    for name, tensor in state.items():
        scale = 0.02 if tensor.ndim < 2 else tensor[0].numel() ** -0.5
        noise = scale * torch.randn(tensor.shape, generator=generator)
        state[name] = noise + 1 if "norm" in name and name.endswith("weight") else noise
    state["logit_scale"] = torch.tensor(4.6052)
    state = {name: tensor.contiguous() for name, tensor in state.items()}

    base = folder / "openai" / MODELS[backbone]
    base.mkdir(parents=True)
    (base / "config.json").write_text(json.dumps({**config.to_dict(), "architectures": ["CLIPModel"]}, indent=1))
    _write_processor(base, vocabulary, merges)
    if "safetensors" in WEIGHTS[backbone]:
        save_file(state, base / "model.safetensors", metadata={"format": "pt"})
    # the files of that age hold the positions' numbers as well
    positions = {
        "text_model.embeddings.position_ids": torch.arange(CONTEXT)[None],
        "vision_model.embeddings.position_ids": torch.arange((SIZE // patch) ** 2 + 1)[None],
    }
    torch.save({**state, **positions}, base / "pytorch_model.bin")
    for name in ("flax_model.msgpack", "tf_model.h5"):
        (base / name).write_bytes(NEVER)
    (base / "README.md").write_text("A stand-in.\n")

    tower = {name: tensor for name, tensor in state.items() if name.startswith("vision_model.")}
    about = {**config.vision_config.to_dict(), "architectures": ["CLIPVisionModel"], "model_type": "clip_vision_model"}
    for i, task in enumerate(TASKS):
        generator.manual_seed(1000 + i)
        target = folder / "tanganke" / f"{MODELS[backbone]}_{task.name}"
        target.mkdir(parents=True)
        (target / "config.json").write_text(json.dumps(about, indent=1))
        tuned = {name: tensor + _change(tensor, generator) for name, tensor in tower.items()}
        save_file(tuned, target / "model.safetensors", metadata={"format": "pt"})
        (target / "README.md").write_text("A stand-in.\n")


def _change(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    if tensor.ndim != 2:
        return 0.01 * torch.randn(tensor.shape, generator=generator)
    left, right = (torch.randn(size, 2, generator=generator) for size in tensor.shape)
    return 0.1 * tensor.shape[1] ** -0.5 * left @ right.T


def _vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Tokens of a byte-level CLIP tokenizer: all bytes, alone and at a word's end, and the prompts' commonest words."""
    from collections import Counter

    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    cut = CLIPTokenizer().backend_tokenizer.pre_tokenizer.pre_tokenize_str
    letters = sorted(ByteLevel.alphabet())
    tokens = dict.fromkeys([*letters, *(letter + "</w>" for letter in letters)])
    words = Counter(
        word for task in TASKS for prompt in (*task.templates, *task.class_names) for word, _ in cut(prompt.lower())
    )
    merges: dict[tuple[str, str], None] = {}
    for word, _ in sorted(words.items(), key=lambda item: (-item[1], item[0]))[:200]:
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:  # from the end, so that a word's last token ends it
            left, right = parts[-2:]
            merges[left, right] = None
            tokens[left + right] = None
            parts[-2:] = [left + right]
    names = [*tokens, "<|startoftext|>", "<|endoftext|>"]
    return {name: i for i, name in enumerate(names)}, list(merges)


def _write_processor(folder: Path, vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> None:
    from transformers import CLIPTokenizer

    CLIPTokenizer(vocabulary, merges, model_max_length=CONTEXT).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{left} {right}\n" for left, right in merges))
    processor = {
        "crop_size": SIZE,
        "do_center_crop": True,
        "do_normalize": True,
        "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor",
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3,
        "size": SIZE,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(processor, indent=1))


# ---------------------------------------------------------------------------------------------- data sets


@dataclass(frozen=True)
class Layout:
    """How a data set differs from the commonest one: data/<split>-*.parquet, named labels, colour images."""

    folder: str = "data"
    mode: str = "RGB"
    format: str = "PNG"
    named: bool = True  # whether the labels are a ClassLabel
    card: bool = True  # whether README.md says where the splits are; the Parquet files declare their features anyway
    splits: tuple[str, ...] = ("train",)  # besides the one that is scored
    more: dict[str, str] = field(default_factory=dict)  # more columns: name → type


LAYOUTS = {
    "sun397": Layout(format="JPEG"),
    "stanford-cars": Layout(format="JPEG", splits=("train", "contrast", "gaussian_noise")),
    "resisc45": Layout(format="JPEG", splits=("train", "contrast")),
    "eurosat": Layout(format="JPEG", splits=("train", "contrast")),
    "svhn": Layout(folder="cropped_digits", splits=("train", "extra")),
    "gtsrb": Layout(named=False),
    "mnist": Layout(folder="mnist", mode="L"),
    "dtd": Layout(format="JPEG"),
    "oxford_flowers102": Layout(format="JPEG", splits=("train", "validation")),
    "pcam": Layout(splits=("train", "valid")),
    "oxford-iiit-pet": Layout(format="JPEG", more={"image_id": "string", "label_cat_dog": "class"}),
    "stl10": Layout(card=False),
    "cifar100": Layout(more={"coarse_label": "int64"}),
    "food101": Layout(format="JPEG"),
    "fashion_mnist": Layout(folder="fashion_mnist", mode="L"),
    "emnist_letters": Layout(mode="L"),
    "kmnist": Layout(mode="L"),
    "rendered-sst2": Layout(mode="P", splits=("train", "validation")),
}


def labels_of(task: ClipTask, images: int = 24) -> list[int]:
    """Labels of a stand-in test split: two images a class where these are few, else classes evenly spaced; sorted."""
    n = len(task.class_names)
    if 2 * n <= images:
        return [label for label in range(n) for _ in range(2)]
    return [i * n // images for i in range(images)]


def image_of(task: ClipTask, i: int, label: int) -> bytes:
    """The file of the i-th image of a stand-in test split; its size, mode and compression are the data set's."""
    layout = LAYOUTS.get(task.name, Layout())
    random = np.random.default_rng([i, label, len(task.class_names)])
    height, width = (28, 28) if layout.mode == "L" else (int(random.integers(20, 60)), int(random.integers(20, 60)))
    colour = np.random.default_rng(label).integers(40, 216, 3)
    pixels = np.clip(colour + random.normal(0, 20, (height, width, 3)), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    # a few PNGs are not what the rest are, as in real data sets
    mode = "RGBA" if layout.format == "PNG" and layout.mode == "RGB" and i % 5 == 4 else layout.mode
    if task.name == "fer2013":
        Image.fromarray(pixels).convert("L").save(buffer, "JPEG")
    else:
        Image.fromarray(pixels).convert(mode).save(buffer, layout.format)
    return buffer.getvalue()


def declared(task: ClipTask) -> list[str]:
    """Label names as the data set itself spells them."""
    spelt = {name: alias for alias, name in task.aliases.items()}
    return [spelt.get(name, name) for name in task.class_names]


def write_data(folder: Path, task: ClipTask, images: int = 24) -> None:
    """One data set: the split that is scored, and others that no one may ask for."""
    labels = labels_of(task, images)
    rows = [(image_of(task, i, label), label) for i, label in enumerate(labels)]
    folder.mkdir(parents=True)
    (folder / ".gitattributes").write_text("*.parquet filter=lfs\n")
    if task.name == "fer2013":
        return _write_webdataset(folder, task, rows)
    layout = LAYOUTS.get(task.name, Layout())
    write_parquet(folder / layout.folder, task, rows)
    for split in layout.splits:
        (folder / layout.folder / f"{split}-00000-of-00001.parquet").write_bytes(NEVER)
    if layout.card:
        (folder / "README.md").write_text(card(task))
    return None


def write_parquet(folder: Path, task: ClipTask, rows: list[tuple[bytes, int]], shards: int | None = None) -> None:
    """<folder>/<split>-*.parquet with the data set's columns, as ``push_to_hub`` writes them."""
    import datasets
    from pyarrow import parquet

    layout = LAYOUTS.get(task.name, Layout())
    label = datasets.ClassLabel(names=declared(task)) if layout.named else datasets.Value("int64")
    if task.name == "pcam":
        label = datasets.Value("bool")
    features = {task.image: datasets.Image(), task.label: label}
    columns = {
        task.image: [{"bytes": data, "path": f"{i}.png"} for i, (data, _) in enumerate(rows)],
        task.label: [bool(y) if task.name == "pcam" else y for _, y in rows],
    }
    for name, kind in layout.more.items():
        features[name] = datasets.ClassLabel(names=["cat", "dog"]) if kind == "class" else datasets.Value(kind)
        columns[name] = [f"image_{i}" if kind == "string" else i % 2 for i in range(len(rows))]
    folder.mkdir(parents=True, exist_ok=True)
    whole = datasets.Dataset.from_dict(columns, features=datasets.Features(features)).data.table
    shards = shards or (3 if task.name == "sun397" else 1)
    bounds = [i * len(rows) // shards for i in range(shards + 1)]
    for i, (start, stop) in enumerate(pairwise(bounds)):
        path = folder / f"{task.split}-{i:05}-of-{shards:05}.parquet"
        parquet.write_table(whole.slice(start, stop - start), path, row_group_size=10)


def card(task: ClipTask) -> str:
    """README.md with what the hub's own tools put at its head."""
    layout = LAYOUTS.get(task.name, Layout())
    lines = ["---", "dataset_info:"]
    config = layout.folder if layout.folder != "data" else "default"
    if config != "default":
        lines += [f"  config_name: {config}"]
    lines += ["  features:", f"  - name: {task.image}", "    dtype: image", f"  - name: {task.label}"]
    if task.name == "pcam":
        lines += ["    dtype: bool"]
    elif layout.named:
        names = (f"          '{i}': {json.dumps(name)}" for i, name in enumerate(declared(task)))
        lines += ["    dtype:", "      class_label:", "        names:", *names]
    else:
        lines += ["    dtype: int64"]
    for name, kind in layout.more.items():
        two = ["    dtype:", "      class_label:", "        names:", "          '0': cat", "          '1': dog"]
        lines += [f"  - name: {name}", *(two if kind == "class" else [f"    dtype: {kind}"])]
    lines += ["configs:", f"- config_name: {config}", "  data_files:"]
    for split in (*layout.splits, task.split):
        lines += [f"  - split: {split}", f"    path: {layout.folder}/{split}-*"]
    if task.name == "svhn":  # the other configuration comes first
        other = ["- config_name: full_numbers", "  data_files:", "  - split: test", "    path: full_numbers/test-*"]
        lines[lines.index("configs:") + 1 : lines.index("configs:") + 1] = other
    return "\n".join([*lines, "---", "", f"# A stand-in for {task.dataset}", ""])


def _write_webdataset(folder: Path, task: ClipTask, rows: list[tuple[bytes, int]]) -> None:
    for split in ("train", "test"):
        (folder / split).mkdir()
        (folder / split / "nshards.txt").write_text("1\n")
    (folder / "train" / "0.tar").write_bytes(NEVER)
    with tarfile.open(folder / "test" / "0.tar", "w") as tar:
        for i, (data, label) in enumerate(rows):
            for suffix, content in ((task.label, str(label).encode()), (task.image, data)):
                member = tarfile.TarInfo(f"s{i:07}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    (folder / "classnames.txt").write_text("\n".join(task.class_names))
    (folder / "zero-shot_prompt_templates.txt").write_text("\n".join(task.templates))
