"""What the registry knows of a method, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from ..methods import get_method


def method_facts(name: str, meanings: Mapping[str, str]) -> str:
    """A method's properties as a sentence, and its hyper-parameters as a table with their defaults.

    Args:
        name: of a registered method.
        meanings: hyper-parameter → what it is.

    Raises:
        ValueError: ``meanings`` describes other hyper-parameters than the method has, or there is no such method.
    """
    method = get_method(name)
    if set(meanings) != set(method.defaults):
        raise ValueError(f"{name}: described {sorted(meanings)}, it has {sorted(method.defaults)}")
    order = "does not matter" if method.order_free else "matters"
    alone = "kept as it is" if method.keeps_first else "not kept as it is"
    linear = "treated in a way of their own" if method.layerwise else "like all other parameters"
    facts = f"`{name}`, source <{method.paper}>: the order of the models {order}; one model alone is {alone}; "
    facts += f"linear weights are {linear}."
    if not meanings:
        return f"{facts}\n\nIt has no hyper-parameters."
    rows = [(f"`{key}`", f"`{value!r}`", meanings[key]) for key, value in method.defaults.items()]
    table = pd.DataFrame(rows, columns=["hyper-parameter", "default", "what it is, and where its value comes from"])
    return f"{facts}\n\n{table.to_markdown(index=False)}"
