"""The CLIP suite: OpenAI's CLIP in three sizes, twenty tasks and their fine-tuned towers, from a hub or from folders."""

from .suite import MODELS, ClipSuite

__all__ = ["MODELS", "ClipSuite"]
