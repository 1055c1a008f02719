"""What belongs to a model beside weights and configuration."""

from __future__ import annotations

import pytest

from cmmlib.models.side_files import side_files

BELONG = [
    "tokenizer.json",
    "spm.model",
    "sentencepiece.bpe.model",
    "source.spm",
    "bpe.codes",
    "vocab.txt",
    "merges.txt",
    "qwen.tiktoken",
    "chat_template.jinja",
    "video_preprocessor_config.json",
    "modules.json",
    "1_Pooling/config.json",
    "additional_chat_templates/tool.jinja",
]
OTHERS = [
    "config.json",
    "adapter_config.json",
    "README.md",
    ".gitattributes",
    ".cache/huggingface/x.json",
    "modeling_mine.py",
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin.index.json",
    "tf_model.h5",
    "training_args.bin",
]


@pytest.mark.parametrize("name", BELONG)
def test_these_belong(name: str):
    assert side_files([name, *OTHERS]) == [name]


@pytest.mark.parametrize("name", OTHERS)
def test_these_do_not(name: str):
    assert side_files([name]) == []


@pytest.mark.parametrize("weights", ["2_Dense/model.safetensors", "2_Dense/deep/model.onnx", "2_Dense/code.py"])
def test_a_sub_folder_with_anything_else_is_left_whole(weights: str):
    assert side_files(["1_Pooling/config.json", "2_Dense/config.json", weights]) == ["1_Pooling/config.json"]
