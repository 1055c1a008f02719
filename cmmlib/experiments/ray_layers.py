"""Merging the layers of one large model on Ray."""

from __future__ import annotations

from contextlib import ExitStack

import torch

from ..merging.parameter_step import Inputs, ParameterStep, Step, Stepped
from .ray_actors import Actors
from .ray_connection import LOCAL, connected, send_along


class LayerWorker:
    """A Ray actor with one thread."""

    def __init__(self) -> None:
        torch.set_num_threads(1)

    def apply(self, step: Step, inputs: Inputs) -> Stepped:
        """``step(inputs)``, computed on the actor."""
        return step(inputs)


class RayLayers:
    """An ``apply_step`` of `cmmlib.ContinualMerger` that merges the layers of one step on Ray actors.

    It is for large models, whose layers take longer to merge than to send.  Only linear weights are sent; other parameters
    are merged in this process.  The results are bit for bit those without Ray::

        with RayLayers(8, "auto") as layers:
            merger = ContinualMerger(base, "opcm", apply_step=layers)

    Args:
        num_actors: number of actors, each with one CPU and one thread.
        address: see `cmmlib.experiments.ray_connection.connected`.

    Raises:
        ValueError: ``num_actors`` is below 1, or Ray cannot be used; when merging, a tensor is not on the CPU.
    """

    def __init__(self, num_actors: int, address: str = LOCAL) -> None:
        if num_actors < 1:
            raise ValueError(f"num_actors: expected at least 1, got {num_actors}")
        with ExitStack() as opened:
            self._ray = opened.enter_context(connected(address, num_actors))
            self._actors = opened.enter_context(Actors(self._ray, LayerWorker, (), num_actors, num_cpus=1))
            self._opened = opened.pop_all()
        self.at_once = num_actors

    def __call__(self, step: Step, inputs: Inputs) -> Stepped:
        if inputs.context.kind != "linear":
            return step(inputs)
        if inputs.task_vector.device.type != "cpu":
            raise ValueError(
                f"RayLayers merges on CPUs, but the model is on {inputs.task_vector.device}: "
                "make the merger without a device"
            )
        if isinstance(step, ParameterStep):
            send_along(self._ray, [step.method])
        return self._actors.do(lambda actor: self._ray.get(actor.apply.remote(step, inputs)))

    def close(self) -> None:
        """End the actors, and the connection to Ray if it was opened for them."""
        self._opened.close()

    def __enter__(self) -> RayLayers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
