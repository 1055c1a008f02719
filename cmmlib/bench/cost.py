"""``python -m cmmlib.bench.cost``: what one more model costs, against the number of models merged so far.

It measures seconds, bytes kept until the next model, and peak memory, at the shapes of CLIP's vision towers, of methods that
keep a state of constant size and of methods that merge all models again (`cmmlib.bench.arrivals`).  The models are random
towers (`cmmlib.bench.random_towers`), made from their number when they arrive.  Each method has its own process, and the
methods take turns.  It needs Linux, which reports the peak memory of a process.
"""

from __future__ import annotations

import argparse
import multiprocessing
import platform
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..analysis import figures
from ..files import write_text
from ..terminal import run_command
from .arrivals import AT_ONCE, STREAMING, merging
from .random_towers import BACKBONES, random_base, random_model, shapes
from .timing import forget_peak, resident, seconds


class Cost(NamedTuple):
    """The cost of one more model: seconds, bytes kept until the next one, and peak bytes, which include those kept."""

    seconds: float
    kept: int
    peak: int


_HERE: dict[str, Any] = {}  # of this worker process


def _start(label: str, backbone: str, layers: int, threads: int) -> None:
    torch.set_num_threads(threads)
    torch.linalg.eigh(torch.eye(2))  # loads libraries, whose memory is not the method's
    base = random_base(backbone, layers)
    _HERE.update(merging=merging(label, base), before=resident("VmRSS"), base=base)


def _add(number: int, repeats: int) -> Cost:
    model, method = random_model(_HERE["base"], number), _HERE["merging"]
    size = sum(tensor.nbytes for tensor in model.values())
    forget_peak()
    work = method.arrive(model)
    taken = min(seconds(work) for _ in range(repeats))  # the fastest, which other work on the machine slows down least
    arriving = 0 if method.keeps_models else size  # the new model counts only if the method keeps it
    return Cost(taken, method.kept, resident("VmHWM") - _HERE["before"] - arriving)


def measure(labels: list[str], backbone: str, layers: int, models: int, threads: int, repeats: int) -> pd.DataFrame:
    """Measure methods as models arrive.

    Args:
        labels: of the methods, see `cmmlib.bench.arrivals.merging`.
        layers: number of transformer layers.
        models: number of models.
        repeats: of every step; the fastest counts.

    Returns:
        Columns ``method``, ``models``, ``seconds``, ``kept_bytes`` and ``peak_bytes``, one row per method and number of
        models.  ``peak_bytes`` is the peak of resident memory above that of a process with the pretrained model; the new
        model counts only if the method keeps it.
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


def picture(costs: pd.DataFrame, model_bytes: int) -> Figure:
    """Draw seconds, bytes kept and peak bytes against the number of models, a line per method.

    Args:
        costs: from `measure`.
        model_bytes: size of one model, the unit of memory.
    """
    with figures.paper_style():
        figure, axes = plt.subplots(1, 3, figsize=(2.2 * figures.COLUMN_WIDTH, 2.2))
        colors = iter(("#777777", "#CC79A7"))
        for number, (label, part) in enumerate(costs.groupby("method", sort=False)):
            if label in AT_ONCE:
                style: dict[str, Any] = {"color": next(colors), "linestyle": ":", "marker": "x"}
            else:
                style = figures.line_style(str(label))
            style |= {"markevery": (number % 4, 4)}  # so that the markers of lines that coincide can be seen
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
    """Measure, print, and write the numbers and the figure."""
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
    about = {"backbone": arguments.backbone, "layers": layers, "threads": arguments.threads, "model_bytes": model_bytes}
    write_text(arguments.out / "cost.csv", costs.assign(**about).to_csv(index=False))
    figures.save(picture(costs, model_bytes), arguments.out / "cost")
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command("cost", main))
