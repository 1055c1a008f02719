"""Suites: backbones, their fine-tuned encoders and test sets, behind one small interface."""

from .loading import load_suite
from .published import published_individual, published_table
from .reference import reference_of
from .suite import NO_ORDER, TRAINED, Suite, Task, not_the_protocol
from .variant import Variant

__all__ = [
    "NO_ORDER",
    "TRAINED",
    "Suite",
    "Task",
    "Variant",
    "load_suite",
    "not_the_protocol",
    "published_individual",
    "published_table",
    "reference_of",
]
