"""The mini suite: three tiny CLIPs, twenty rendered or handwritten tasks and their fine-tuned towers, offline."""

from .suite import BACKBONES, MiniSuite

__all__ = ["BACKBONES", "MiniSuite"]
