"""Whether the labels of a data set mean the classes that the prompts name."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from .tasks import ClipTask

SHOWN = 5


def spelling_free(name: str) -> str:
    """The name without what spellings differ in: case, accents, spaces and punctuation."""
    decomposed = unicodedata.normalize("NFKD", name)
    return "".join(character for character in decomposed if character.isalnum()).casefold()


def check_labels(task: ClipTask, declared: Sequence[str], where: str) -> None:
    """ValueError unless the names that a data set declares are the task's classes, in the same order.

    An alias of the task stands for its class alone, even where it is spelt like another one.  Names "0" to "n-1" say
    nothing but how many there are, and pass.

    Args:
        declared: names of the label column, in label order.
        where: what the names were read from, for the message.
    """
    told = f"{task.name}: {where} (data set {task.dataset})"
    if len(declared) != len(task.class_names):
        raise ValueError(
            f"{told} declares {len(declared)} classes ({_first(declared)}) where the prompts have {len(task.class_names)} "
            f"({_first(task.class_names)}); it is not the data set that this task is scored on"
        )
    if list(declared) == [str(label) for label in range(len(declared))]:
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
            "Its labels mean other classes than the prompts, and scores would be meaningless: "
            "use a copy of the data set that has the order of the prompts."
        )
    raise ValueError(
        f"{told} declares other class names:\n{pairs}{more}\n"
        f'If these are the same classes, load_suite("clip", accept_labels=("{task.name}",)) takes them as they are; '
        "else the data set has changed or is in another order, and scores would be meaningless."
    )


def _first(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (", …" if len(names) > 3 else "")
