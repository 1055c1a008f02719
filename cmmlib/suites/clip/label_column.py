"""The label column of a data set, checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .tasks import ClipTask

if TYPE_CHECKING:  # takes seconds to import
    import pyarrow as pa

LABEL_RULE = "int64; false is 0, true is 1"


def class_labels(given: pa.Array, task: ClipTask, where: str) -> pa.Array:
    """A label column as int64, [rows], each a class of the task.

    Args:
        given: the column as it was read, of integers or booleans.
        where: what it was read from, for the message.

    Raises:
        ValueError: the column has another type, a row without a label, or a number that is no class of the task.
    """
    import pyarrow as pa
    from pyarrow import compute

    if not (pa.types.is_integer(given.type) or pa.types.is_boolean(given.type)):
        raise ValueError(f"{where}: column {task.label!r} holds {given.type}, not class labels")
    if given.null_count:
        raise ValueError(f"{where}: column {task.label!r} has rows without a label")
    values = given.cast(pa.int64())
    low, high = (compute.min_max(values)[key].as_py() for key in ("min", "max"))
    if len(values) and not 0 <= low <= high < len(task.class_names):
        raise ValueError(
            f"{where}: column {task.label!r} has labels from {low} to {high}, but task {task.name} has classes 0 to "
            f"{len(task.class_names) - 1}"
        )
    return values
