"""What stands after some models: all that changes when one is added."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .accumulated import Accumulated


@dataclass(frozen=True)
class Standing:
    """Replaced as a whole by every model.

    Attributes:
        accumulated: the accumulated tensors; None before the first model.
        norm: ‖accumulated‖ over all parameters; NaN where it is not known yet.
        models: of each model its name, source, revision, content hash, time, row of the history, and what it has beside the
            weights that are merged.
    """

    accumulated: Accumulated | None = None
    norm: float = 0.0
    models: tuple[dict[str, Any], ...] = ()

    @property
    def task_vector_norms(self) -> list[float]:
        """‖τ‖ of every model, over all parameters."""
        return [model["history"]["task_vector_norm"] for model in self.models]
