"""``python -m cmmlib.bench``: one merge step at real shapes, against the published algorithms and against the floor.

Everything is timed in turn in one run: ours, a plain implementation of the published algorithm, and the *floor*: nothing
but the factorisations and products without which ours cannot do, called directly, layers side by side as in ours.

The models are random vision towers with the shapes of CLIP's.  A task vector is a sum of m/8 random rank-one terms whose
lengths fall like 1/i, and of white noise whose largest singular value is a tenth of the first term's.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from tabulate import tabulate
from torch import Tensor

from ..merger import ContinualMerger
from ..methods import opcm
from ..methods.exact import solve_exact
from ..methods.losses import Quadratic, quadratic, rank_at
from ..threads import side_by_side
from .floor import floor_dop_exact, floor_dop_step, floor_opcm
from .published import published_clean, published_dop, published_opcm
from .towers import BACKBONES, LINEAR, Model, is_linear, random_model, shapes

STEPS = 200  # of the published solver


def seconds(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def peak_mib(function: Callable[[], Any]) -> float:
    """Growth of the resident set at its highest while ``function`` runs, in MiB; NaN where the system cannot tell."""

    def status(field: str) -> float:
        with open("/proc/self/status") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024

    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # resets the high-water mark
        before = status("VmRSS")
        function()
        return status("VmHWM") - before
    except OSError:
        function()
        return math.nan


def relative(ours: Tensor, reference: Tensor) -> float:
    return float((ours.double() - reference.double()).norm() / reference.double().norm())


def _merger(base: Model, first: Model, method: str, **params: Any) -> ContinualMerger:
    return ContinualMerger(base, method, linear=LINEAR, **params).add(first)


def _timed(functions: Mapping[str, Callable[[], Callable[[], Any]]], repeats: int) -> dict[str, dict[str, float]]:
    """Median seconds and peak memory of each; every round runs all in turn.  A function prepares and returns the work."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    peaks = {}
    for _ in range(repeats):
        for name, prepare in functions.items():
            work = prepare()
            taken: list[float] = []
            peaks[name] = peak_mib(lambda work=work, taken=taken: taken.append(seconds(work)))
            times[name] += taken
    return {name: {"seconds": statistics.median(times[name]), "mib": peaks[name]} for name in functions}


def bench_opcm(base: Model, first: Model, second: Model, repeats: int) -> list[dict]:
    merged, tau = ({k: model[k] - base[k] for k in base} for model in (first, second))
    pairs = [(merged[k], tau[k]) for k in base if is_linear(k)]

    def ours() -> Callable[[], Any]:
        merger = _merger(base, first, "opcm")
        return lambda: merger.add(second)

    found = _timed(
        {
            "ours": ours,
            "baseline": lambda: lambda: published_opcm(merged, tau),
            "floor": lambda: lambda: list(side_by_side(lambda pair: floor_opcm(*pair), pairs)),
        },
        repeats,
    )
    errors: dict[str, list[float]] = {"ours": [], "baseline": []}
    for shape in {m.shape for m, _ in pairs}:
        m, t = next(pair for pair in pairs if pair[0].shape == shape)
        exact = published_clean(t.double(), m.double())
        errors["ours"].append(relative(opcm.clean(t, m, alpha=0.5, zero_diagonal=True), exact))
        errors["baseline"].append(relative(published_clean(t, m), exact))
    return [_row("OPCM", found, error=max(errors["ours"]), baseline_error=max(errors["baseline"]))]


def bench_dop(base: Model, first: Model, second: Model, repeats: int, steps: int) -> list[dict]:
    merged, tau = ({k: model[k] - base[k] for k in base} for model in (first, second))
    pairs = [(merged[k], tau[k]) for k in base if is_linear(k)]

    def ours(**params: Any) -> Callable[[], Callable[[], Any]]:
        def prepare() -> Callable[[], Any]:
            merger = _merger(base, first, "dop", **params)
            return lambda: merger.add(second)

        return prepare

    def floor_adam() -> Callable[[], Any]:
        works = [floor_dop_step(*pair) for pair in pairs]
        return lambda: list(side_by_side(lambda step: [step() for _ in range(steps)], works))

    found = _timed(
        {
            "ours": ours(num_steps=steps),
            "setup": ours(num_steps=0),
            "floor": floor_adam,
            "exact": ours(solver="exact", alpha=0.8),
            "balanced": ours(solver="exact", alpha="balanced"),
            "exact floor": lambda: lambda: list(side_by_side(lambda pair: floor_dop_exact(*pair), pairs)),
        },
        repeats,
    )
    # the baseline once: its steps are many, and alike
    baseline, trajectory = {"seconds": 0.0}, 0.0
    results: list[tuple[Tensor, float, float]] = []
    baseline["mib"] = peak_mib(lambda: results.extend(published_dop(*pair, steps) for pair in pairs))
    baseline["seconds"] = sum(svd + STEPS * step for _, svd, step in results)
    merger = _merger(base, first, "dop", num_steps=steps, reference_compat=True).add(second)
    weights = merger.merged()
    names = [k for k in base if is_linear(k)]
    trajectory = max(float((weights[k] - base[k] - x).abs().max()) for k, (x, _, _) in zip(names, results, strict=True))
    step = (found["ours"]["seconds"] - found["setup"]["seconds"]) / steps
    adam = {"seconds": found["setup"]["seconds"] + STEPS * step, "mib": found["ours"]["mib"]}
    floor = {"seconds": found["floor"]["seconds"] * STEPS / steps}
    exact_rows = []
    for name in ("exact", "balanced"):
        parts = {"ours": found[name], "baseline": baseline, "floor": found["exact floor"]}
        exact_rows.append(_row(f"DOP-{name}", parts, extrapolated="baseline", error=None if name == "balanced" else 0.0))
    residual = max(_stationarity(m, t) for m, t in {m.shape: (m, t) for m, t in pairs}.values())
    exact_rows[0]["error"] = residual
    parts = {"ours": adam, "baseline": baseline, "floor": floor}
    return [_row("DOP (Adam)", parts, extrapolated="all", trajectory=trajectory), *exact_rows]


def _stationarity(old: Tensor, new: Tensor, a: float = 0.8) -> float:
    """‖a ∇L_0 + (1 − a) ∇L_1‖ at our minimiser over that at the average, in float64 with the factors of an SVD."""
    x, _ = solve_exact(*(quadratic(d, "uv", 0.99999, dtype=torch.float64) for d in (old, new)), a)
    total = [torch.zeros_like(old, dtype=torch.float64) for _ in range(2)]
    for weight, d in ((a, old.double()), (1 - a, new.double())):
        u, s, vt = torch.linalg.svd(d, full_matrices=False)
        k = rank_at(s, 0.99999)
        loss = Quadratic(d, u[:, :k] * s[:k], vt[:k].T * s[:k])
        for i, at in enumerate((x.double(), (old.double() + new.double()) / 2)):
            total[i] += weight * loss.curvature(at - d)
    return float(total[0].norm() / total[1].norm())


def bench_elementwise(base: Model, first: Model, second: Model, repeats: int) -> list[dict]:
    methods = ("weight_average", "task_arithmetic", "magmax", "ties")
    found = _timed(
        {m: lambda m=m: (lambda merger: lambda: merger.add(second))(_merger(base, first, m)) for m in methods}, repeats
    )
    return [_row(m, {"ours": found[m]}) for m in methods]


def _row(method: str, parts: dict[str, dict[str, float]], **more: Any) -> dict[str, Any]:
    ours = parts["ours"]["seconds"]
    row = {"method": method, "seconds": ours, "peak_mib": parts["ours"].get("mib")}
    if "baseline" in parts:
        baseline, floor = parts["baseline"], parts["floor"]["seconds"]
        row |= {"baseline_seconds": baseline["seconds"], "speedup": baseline["seconds"] / ours}
        row |= {"baseline_mib": baseline["mib"], "floor_seconds": floor, "over_floor": ours / floor}
    return row | more


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m cmmlib.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", choices=BACKBONES, default="ViT-B/32")
    parser.add_argument("--layers", type=int, default=None, help="transformer layers (default: all of the backbone's)")
    parser.add_argument("--baseline-steps", type=int, default=5, help="of Adam's 200 that are run; the rest is extrapolated")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", nargs="*", choices=("opcm", "dop", "elementwise"), default=("opcm", "dop", "elementwise"))
    parser.add_argument("--json", metavar="FILE", help="also write all numbers there")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    depth = BACKBONES[arguments.backbone][1]
    layers = min(arguments.layers or depth, depth)
    generator = torch.Generator().manual_seed(0)
    base = {
        name: 0.02 * torch.randn(shape, generator=generator) for name, shape in shapes(arguments.backbone, layers).items()
    }
    models = base, random_model(base, 1), random_model(base, 2)
    size = sum(t.numel() for t in base.values())
    print(f"{arguments.backbone}, {layers} of {depth} layers, {size / 1e6:.0f} M parameters; {arguments.threads} threads, ")
    print(f"torch {torch.__version__}, {platform.machine()}; medians of {arguments.repeats}, in turn in one run\n")
    rows = []
    if "elementwise" in arguments.only:
        rows += bench_elementwise(*models, arguments.repeats)
    if "opcm" in arguments.only:
        rows += bench_opcm(*models, arguments.repeats)
    if "dop" in arguments.only:
        rows += bench_dop(*models, arguments.repeats, arguments.baseline_steps)
    print(table(rows))
    print(f"\n* from {arguments.baseline_steps} of {STEPS} steps, linearly.  error: OPCM, the cleaned task vector's")
    print("relative distance to float64's, worst shape; DOP-exact, the gradient there over that at the average;")
    print("trajectory: largest difference to the baseline's weights after those steps.  CUDA: not measured.")
    if arguments.json:
        report = {
            **vars(arguments),
            "layers": layers,
            "depth": depth,
            "parameters": size,
            "torch": torch.__version__,
            "rows": rows,
        }
        with open(arguments.json, "w") as file:
            json.dump(report, file, indent=1)
    return 0


def table(rows: list[dict[str, Any]]) -> str:
    """One line per method; seconds, MiB, ratios."""

    def cell(row: dict[str, Any], key: str, form: str) -> str:
        value = row.get(key)
        marked = {"baseline": ["baseline_seconds"], "all": ["seconds", "baseline_seconds", "floor_seconds"]}
        star = "*" if key in marked.get(row.get("extrapolated", ""), []) else ""
        return "" if value is None else f"{value:{form}}{star}"

    columns = {
        "seconds": ".3g",
        "baseline_seconds": ".3g",
        "speedup": ".1f",
        "floor_seconds": ".3g",
        "over_floor": ".2f",
        "peak_mib": ".0f",
        "baseline_mib": ".0f",
        "error": ".1e",
        "baseline_error": ".1e",
        "trajectory": ".1e",
    }
    body = [[row["method"], *(cell(row, key, form) for key, form in columns.items())] for row in rows]
    return tabulate(body, ["method", *(key.replace("_", " ") for key in columns)], disable_numparse=True)


if __name__ == "__main__":
    raise SystemExit(main())
