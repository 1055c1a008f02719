"""Progress bars over the parameters of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from tqdm import tqdm

Each = Callable[[str], Iterable[str]]
"""All parameters' names, for a loop that does what the argument says ("merging")."""


def each_of(keys: Sequence[str], *, shown: bool) -> Each:
    """``keys`` for any number of loops, with bars on the error stream where they are ``shown`` and that is a terminal."""

    def each(doing: str) -> Iterable[str]:
        return tqdm(keys, desc=doing, unit="tensor", leave=False, disable=None) if shown else keys

    return each
