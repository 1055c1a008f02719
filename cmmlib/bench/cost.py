"""``python -m cmmlib.bench.cost``: what one more model costs, against the number of models that have been merged.

Seconds, bytes kept until the next model, and peak memory, at the shapes of CLIP's vision towers: methods that keep a state
of constant size, against methods that need all models at once and merge anew.  The models are the random towers of
`cmmlib.bench.random_towers`, made from their number when they arrive.  Each method lives in a process of its own; they take
turns.  Needs Linux, where a process can be asked for its peak memory.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import pandas as pd
import torch
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from ..analysis import figures
from ..analysis.tables import write_text
from ..merging.merger import ContinualMerger
from ..merging.stepping import tensors_of
from ..methods.dop_all import solve
from ..threads import side_by_side
from .__main__ import seconds
from .random_towers import BACKBONES, LINEAR, Model, is_linear, random_model, shapes

STREAMING: dict[str, tuple[str, dict[str, Any]]] = {
    "Weight average": ("weight_average", {}),
    "OPCM": ("opcm", {}),
    "DOP-exact (α=0.8)": ("dop", {"solver": "exact", "alpha": 0.8}),
    "DOP-all (u)": ("dop_all", {}),
}


def dop_all_anew(base: Model, models: list[Model], ridge: float = 1e-3) -> Model:
    """What method ``dop_all`` gives after these models, from all of them at once: sums over models, one solution."""

    def merge(name: str) -> Tensor:
        taus = [model[name] - base[name] for model in models]
        if not is_linear(name):
            return base[name] + sum(taus) / len(taus) ** 0.5
        p = r = torch.zeros((), dtype=torch.float64)
        for tau in taus:
            tau = tau.double()
            outer = tau @ tau.T
            p, r = p + outer, r + outer @ tau
        return base[name] + solve({"p": p, "r": r}, ridge).to(base[name].dtype)

    return dict(zip(base, side_by_side(merge, base), strict=True))


def ties_at_once(base: Model, models: list[Model], share: float = 0.2) -> Model:
    """TIES-Merging (arXiv 2306.01708) with all models at hand, plainly: trim, elect signs, mean of those that agree."""

    def flat(model: Model) -> Tensor:
        return torch.cat([(model[name] - base[name]).flatten() for name in base])

    def trimmed(tau: Tensor) -> Tensor:
        size = tau.abs()
        return tau.where(size >= size.kthvalue(len(tau) - int(share * len(tau))).values, 0)

    taus = torch.stack([trimmed(flat(model)) for model in models])  # [models, parameters]
    agrees = taus * taus.sum(0).sign() > 0
    merged = (taus * agrees).sum(0) / agrees.sum(0).clamp(min=1)
    parts = merged.split([tensor.numel() for tensor in base.values()])
    return {name: tensor + part.view_as(tensor) for (name, tensor), part in zip(base.items(), parts, strict=True)}


AT_ONCE: dict[str, Callable[[Model, list[Model]], Model]] = {
    "DOP-all (u), merged anew": dop_all_anew,
    "TIES, all at once": ties_at_once,
}


class Merging:
    """One method as models arrive: `arrive` gives the work to be timed, `kept` the bytes that it holds afterwards.

    The pretrained model is everyone's and not counted.
    """

    def __init__(self, label: str, base: Model):
        self.base, self.models = base, []
        self.anew = AT_ONCE.get(label)
        if self.anew is None:
            method, params = STREAMING[label]
            self.merger = ContinualMerger(base, method, linear=LINEAR, **params)

    def arrive(self, model: Model) -> Callable[[], Any]:
        """All that it takes to know the merged model's parameters.  May be called more than once, to the same end."""
        if self.anew is not None:
            self.models.append(model)
            return lambda: self.anew(self.base, self.models)
        before = self.merger._now

        def add() -> None:
            self.merger._now = before
            self.merger.add(model)

        return add

    @property
    def kept(self) -> int:
        if self.anew is None:
            running = self.merger._now.running
            return sum(tensor.nbytes for key in running for tensor in tensors_of(running[key]))
        return sum(tensor.nbytes for model in self.models for tensor in model.values())


class Cost(NamedTuple):
    seconds: float
    kept: int  # bytes
    peak: int  # bytes: kept, and what the work takes on top


_HERE: dict[str, Any] = {}  # of this worker process


def _start(label: str, backbone: str, layers: int, threads: int) -> None:
    torch.set_num_threads(threads)
    torch.linalg.eigh(torch.eye(2))  # libraries load themselves on first use: not the method's memory
    generator = torch.Generator().manual_seed(0)
    base = {name: 0.02 * torch.randn(shape, generator=generator) for name, shape in shapes(backbone, layers).items()}
    _HERE.update(merging=Merging(label, base), before=_resident("VmRSS"), base=base)


def _resident(field: str) -> int:
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024


def _add(number: int, repeats: int) -> Cost:
    model, merging = random_model(_HERE["base"], number), _HERE["merging"]
    size = sum(tensor.nbytes for tensor in model.values())
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # resets the high-water mark
    work = merging.arrive(model)
    taken = min(seconds(work) for _ in range(repeats))  # what the machine's other work adds is not the method's
    arriving = 0 if merging.models else size  # where models are kept, the new one is among them
    return Cost(taken, merging.kept, _resident("VmHWM") - _HERE["before"] - arriving)


def measure(labels: list[str], backbone: str, layers: int, models: int, threads: int, repeats: int) -> pd.DataFrame:
    """One row per method and number of models: ``method``, ``models``, ``seconds``, ``kept_bytes``, ``peak_bytes``.

    ``peak_bytes`` is resident memory at its highest beyond that of the process with the pretrained and the new model.
    """
    context = multiprocessing.get_context("spawn")
    pools = {label: ProcessPoolExecutor(1, context, _start, (label, backbone, layers, threads)) for label in labels}
    rows = []
    try:
        for number in range(1, models + 1):
            for label, pool in pools.items():
                cost = pool.submit(_add, number, repeats).result()
                rows.append((label, number, *cost))
                print(f"{number:3d}  {label:26} {cost.seconds:8.2f} s  kept {cost.kept / 1e6:7.1f} MB", flush=True)
    finally:
        for pool in pools.values():
            pool.shutdown(cancel_futures=True)
    return pd.DataFrame(rows, columns=["method", "models", "seconds", "kept_bytes", "peak_bytes"])


def picture(costs: pd.DataFrame, model_bytes: int) -> plt.Figure:
    """Seconds, bytes kept and peak against the number of models, a line per method."""
    with figures.paper_style():
        figure, axes = plt.subplots(1, 3, figsize=(2.2 * figures.COLUMN_WIDTH, 2.2))
        colors = iter(("#777777", "#CC79A7"))
        for number, (label, part) in enumerate(costs.groupby("method", sort=False)):
            if label in AT_ONCE:
                style = {"color": next(colors), "linestyle": ":", "marker": "x"}
            else:
                style = figures.line_style(str(label))
            style |= {"markevery": (number % 4, 4)}  # where lines coincide the markers of each are seen
            axes[0].plot(part.models, part.seconds, label=label, **style)
            axes[1].plot(part.models, part.kept_bytes / model_bytes, **style)
            axes[2].plot(part.models, part.peak_bytes / model_bytes, **style)
        axes[0].set(ylabel="seconds for one more model", yscale="log")
        axes[1].set(ylabel="kept until the next (× a model)", ylim=(0, None))
        axes[2].set(ylabel="peak memory (× a model)", ylim=(0, None))
        for ax in axes:
            ax.set(xlabel="models so far")
            ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        figure.tight_layout()
        figure.legend(loc="lower center", bbox_to_anchor=(0.5, 0.98), ncols=3, frameon=False)
    return figure


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m cmmlib.bench.cost", description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", choices=BACKBONES, default="ViT-B/32")
    parser.add_argument("--layers", type=int, default=1, help="transformer layers, beside the embeddings")
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=1, help="of every step; the fastest counts")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=Path("figures/cost"), help="folder for cost.csv, .png and .pdf")
    arguments = parser.parse_args(argv)
    if min(arguments.models, arguments.layers, arguments.repeats, arguments.threads) < 1:
        parser.error("--models, --layers, --repeats and --threads must be at least 1")
    arguments.out.mkdir(parents=True, exist_ok=True)
    layers = min(arguments.layers, BACKBONES[arguments.backbone][1])
    model_bytes = 4 * sum(torch.Size(shape).numel() for shape in shapes(arguments.backbone, layers).values())
    print(f"{arguments.backbone}, {layers} layers, {model_bytes / 1e6:.0f} MB a model; {arguments.threads} threads, ")
    print(f"torch {torch.__version__}, {platform.machine()}; CUDA: not measured\n")
    labels, sizes = [*STREAMING, *AT_ONCE], (arguments.models, arguments.threads, arguments.repeats)
    costs = measure(labels, arguments.backbone, layers, *sizes)
    figure = picture(costs, model_bytes)
    about = {"backbone": arguments.backbone, "layers": layers, "threads": arguments.threads, "model_bytes": model_bytes}
    write_text(arguments.out / "cost.csv", costs.assign(**about).to_csv(index=False))
    figures.save(figure, arguments.out / "cost")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
