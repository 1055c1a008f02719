"""The layers of one merge step on Ray, for one large model whose layers are worth sending."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial

import torch

from ..merging.parameter_step import Inputs, Report
from ..methods import Value
from ..threads import on_threads
from .ray_actors import Actors
from .ray_connection import LOCAL, connected

Step = Callable[[Inputs], tuple[Value, Report]]


class LayerWorker:
    """An actor with one thread."""

    def __init__(self) -> None:
        torch.set_num_threads(1)

    def apply(self, step: Step, inputs: Inputs) -> tuple[Value, Report]:
        """``step(inputs)``, here."""
        return step(inputs)


class RayLayers:
    """A ``layer_map`` of `cmmlib.ContinualMerger`: the layers of one merge step on Ray actors.

    For one large model, whose layers are worth sending.  Biases and other small parameters stay here.  At most one input
    more than there are actors is in flight.  The results are bit for bit those without Ray::

        with RayLayers(8, "auto") as layers:
            merger = ContinualMerger(base, "opcm", layer_map=layers)

    Args:
        num_actors: how many, each with one CPU and one thread.
        address: see `cmmlib.experiments.ray_connection.connected`.

    Raises:
        ValueError: fewer than one actor, Ray is not installed, or no such cluster; later, tensors that are not on the CPU.
    """

    def __init__(self, num_actors: int, address: str = LOCAL) -> None:
        if num_actors < 1:
            raise ValueError(f"num_actors: expected at least 1, got {num_actors}")
        with ExitStack() as opened:
            self._ray = opened.enter_context(connected(address, num_actors))
            self._actors = opened.enter_context(Actors(self._ray, LayerWorker, (), num_actors, num_cpus=1))
            self._opened = opened.pop_all()

    def __call__(self, step: Step, inputs: Iterable[Inputs]) -> Iterator[tuple[Value, Report]]:
        return on_threads(len(self._actors), partial(self._apply, step), inputs)

    def _apply(self, step: Step, inputs: Inputs) -> tuple[Value, Report]:
        if inputs.context.kind != "linear":
            return step(inputs)
        if inputs.model.device.type != "cpu":
            raise ValueError(f"Ray's layers are merged on CPUs, not on {inputs.model.device}: leave the merger's device out")
        return self._actors.do(lambda actor: self._ray.get(actor.apply.remote(step, inputs)))

    def close(self) -> None:
        """End the actors, and Ray if it was started for them."""
        self._opened.close()

    def __enter__(self) -> RayLayers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
