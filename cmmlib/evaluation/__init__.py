"""Zero-shot scoring of vision towers and sentence encoders."""

from typing import TYPE_CHECKING

from ..lazy import lazy_names

if TYPE_CHECKING:
    from .score import Score as Score
    from .scorer import ZeroShotScorer as ZeroShotScorer

__getattr__, __dir__, __all__ = lazy_names(__name__, {"score": "Score", "scorer": "ZeroShotScorer"})
