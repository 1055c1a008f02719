"""What an export takes along from the base's folder, and what it says that it leaves."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import pytest

from cmmlib import ContinualMerger

from ..helpers.models import contents

ALONG = [
    "spm.model",
    "source.spm",
    "bpe.codes",
    "modules.json",
    "1_Pooling/config.json",
    "additional_chat_templates/tool.jinja",
]


@pytest.fixture
def base(folder, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder("base"), tmp_path / "base"))


def fill(folder: Path, *names: str, content: str = "{}") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


def exported(base: Path, folder, tmp_path: Path) -> tuple[set[str], list[str]]:
    """The files of an export, and its warnings."""
    merger = ContinualMerger(base, "weight_average").add(folder("task0"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        out = merger.export(tmp_path / "out")
    return set(contents(out)), [str(warning.message) for warning in caught]


WRITTEN = {"config.json", "model.safetensors", "README.md"}


def test_side_files_are_copied_and_nothing_is_said(base: Path, folder, tmp_path: Path):
    fill(base, *ALONG, content='{"a": 1}')
    fill(base, "README.md", ".gitattributes", ".cache/x.json")
    files, said = exported(base, folder, tmp_path)
    assert files == WRITTEN | set(ALONG) and said == []
    assert (tmp_path / "out" / "1_Pooling" / "config.json").read_text() == '{"a": 1}'


def test_what_is_left_is_listed_in_one_warning(base: Path, folder, tmp_path: Path):
    fill(
        base, *ALONG, "tf_model.h5", "LICENSE", "2_Dense/config.json", "2_Dense/pytorch_model.bin", "1_Pooling.bak/a/b.onnx"
    )
    files, said = exported(base, folder, tmp_path)
    assert files == WRITTEN | set(ALONG)
    assert said == [f"not copied from {base}: 1_Pooling.bak/, 2_Dense/, LICENSE, tf_model.h5"]


def test_custom_code_is_warned_of(base: Path, folder, tmp_path: Path):
    fill(base, "modeling_mine.py", content="raise SystemExit")
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "modeling_mine.Mine"}}))
    files, said = exported(base, folder, tmp_path)
    assert files == WRITTEN
    assert said == [
        f"custom code of {base} is neither copied nor run: auto_map in config.json, modeling_mine.py; add it if you trust it"
    ]


def test_what_cannot_be_copied_is_listed_with_the_reason(
    base: Path, folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("cmmlib.merging.copied_files.MAX_BYTES", 999)
    fill(base, "tokenizer.model", content="version https://git-lfs.github.com/spec/v1\n")
    fill(base, "corpus.txt", content="x" * 2_000_000)
    (base / "vocab.json").symlink_to("nowhere")
    files, said = exported(base, folder, tmp_path)
    assert files == WRITTEN
    assert said == [
        f"not copied from {base}: corpus.txt (2 MB), tokenizer.model (a Git LFS pointer: run `git lfs pull`), "
        "vocab.json (a symbolic link to nothing)"
    ]


def test_a_base_that_is_a_file_among_others_takes_nothing_along(base: Path, folder, tmp_path: Path):
    (base / "model.safetensors").rename(base / "tuned.safetensors")
    fill(base, "tokenizer.json", "thesis.txt", "photos/a.json", "data.csv")
    files, said = exported(base / "tuned.safetensors", folder, tmp_path)
    assert files == WRITTEN
    assert said == [f"not copied from {base}: thesis.txt, tokenizer.json"]
