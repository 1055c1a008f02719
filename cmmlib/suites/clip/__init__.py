"""The CLIP suite: OpenAI's CLIP in three sizes, twenty tasks and their fine-tuned towers, from a hub or folders."""

from .backbones import MODELS
from .suite import ClipSuite

__all__ = ["MODELS", "ClipSuite"]
