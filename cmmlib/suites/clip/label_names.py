"""Checks that the labels of a data set mean the classes that the prompts name."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from .tasks import ClipTask

SHOWN = 5


def spelling_free(name: str) -> str:
    """A name without case, accents, spaces and punctuation."""
    decomposed = unicodedata.normalize("NFKD", name)
    return "".join(character for character in decomposed if character.isalnum()).casefold()


def check_labels(task: ClipTask, declared: Sequence[str], where: str) -> None:
    """Check that the names that a data set declares are the task's classes, in the same order.

    Case, accents, spaces and punctuation do not matter.  An alias of the task always stands for its own class, even where
    it is spelt like another one.  The names "0" to "n-1" tell only their number, and pass if it is right.

    Args:
        declared: names of the label column, in label order.
        where: what the names were read from, for the message.

    Raises:
        ValueError: other names, another order or another number.
    """
    told = f"{task.name}: {where} (data set {task.dataset})"
    if len(declared) != len(task.class_names):
        raise ValueError(
            f"{told} declares {len(declared)} classes ({_first(declared)}) where the prompts have {len(task.class_names)} "
            f"({_first(task.class_names)}); it is not the data set that this task is scored on"
        )
    if only_numbers(declared):
        return
    aliases = {spelling_free(alias): name for alias, name in task.aliases.items()}
    meant = [aliases.get(spelling_free(name), name) for name in declared]
    found, expected = [[spelling_free(name) for name in names] for names in (meant, task.class_names)]
    differ = [label for label in range(len(declared)) if found[label] != expected[label]]
    if not differ:
        return
    pairs = "\n".join(
        f"  label {label}: {declared[label]!r}"
        + (f", which stands for {meant[label]!r}," if meant[label] != declared[label] else "")
        + f" where the prompts have {task.class_names[label]!r}"
        for label in differ[:SHOWN]
    )
    more = f"\n  and {len(differ) - SHOWN} more" if len(differ) > SHOWN else ""
    if sorted(found) == sorted(expected):
        raise ValueError(
            f"{told} declares the right classes in another order:\n{pairs}{more}\n"
            "Its labels mean other classes than the prompts, so scores would be meaningless: "
            "use a copy of the data set in the order of the prompts."
        )
    raise ValueError(
        f"{told} declares other class names:\n{pairs}{more}\n"
        f'If these are the same classes, load_suite("clip", accept_labels=("{task.name}",)) accepts them as they are. '
        "Otherwise the data set has changed or is in another order, and scores would be meaningless."
    )


def only_numbers(names: Sequence[str]) -> bool:
    """Whether names are "0" to "n-1", each at its place, and so tell nothing of what the labels mean."""
    return list(names) == [str(label) for label in range(len(names))]


def _first(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (", …" if len(names) > 3 else "")
