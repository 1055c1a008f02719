"""``python -m cmmlib.bench``: one merge step at real shapes, against the published algorithms and against the floor.

Everything is timed in turn in one run: ours, a plain implementation of the published algorithm, and the *floor*: nothing
but the factorisations and products without which ours cannot do, called directly, layers side by side as in ours.

The models are random vision towers with the shapes of CLIP's.  A task vector is a sum of m/8 random rank-one terms whose
lengths fall like 1/i, and of white noise whose largest singular value is a tenth of the first term's.

``--profile`` adds where the time of one thread goes, and the largest speed-up that it leaves: the published algorithm's
seconds over those of nothing but our factorisations and products, spread over the threads, and of eigh alone.
"""

from __future__ import annotations

import argparse
import ctypes
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

from ..merging.merger import ContinualMerger
from ..methods import opcm
from ..methods.exact import solve_exact
from ..methods.losses import Quadratic, quadratic, rank_at
from ..threads import side_by_side
from .batching import ways
from .floor import floor_dop_exact, floor_dop_step, floor_opcm
from .operations import KINDS, profiled
from .published_algorithms import published_clean, published_dop, published_opcm
from .random_towers import BACKBONES, LINEAR, Model, is_linear, random_model, shapes

STEPS = 200  # of the published solver
METHODS = ("opcm", "dop", "elementwise")


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
        ctypes.CDLL(None).malloc_trim(0)  # else what the one before has freed is there to be used
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")  # resets the high-water mark
    except (OSError, AttributeError):
        function()
        return math.nan
    before = status("VmRSS")
    function()
    return status("VmHWM") - before


def relative(ours: Tensor, reference: Tensor) -> float:
    return float((ours.double() - reference.double()).norm() / reference.double().norm())


def _merger(base: Model, first: Model, method: str, **params: Any) -> ContinualMerger:
    return ContinualMerger(base, method, linear=LINEAR, **params).add(first)


def _timed(functions: Mapping[str, Callable[[], Callable[[], Any]]], repeats: int) -> dict[str, dict[str, float]]:
    """Median seconds and peak memory of each; every round runs all in turn.  A function prepares and returns the work.

    Memory is taken in a first round that is not timed: pages that are new to the process cost time.
    """
    found = {name: {"mib": peak_mib(prepare())} for name, prepare in functions.items()}
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(repeats):
        for name, prepare in functions.items():
            times[name].append(seconds(prepare()))
    return {name: {"seconds": statistics.median(times[name]), **found[name]} for name in functions}


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


def bench_dop(base: Model, first: Model, second: Model, repeats: int, steps: int, baseline_steps: int) -> list[dict]:
    merged, tau = ({k: model[k] - base[k] for k in base} for model in (first, second))
    names = [k for k in base if is_linear(k)]
    pairs = [(merged[k], tau[k]) for k in names]
    published: list[list[tuple[Tensor, float, float]]] = []

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
            "baseline": lambda: lambda: published.append([published_dop(*pair, baseline_steps) for pair in pairs]),
        },
        repeats,
    )
    seconds_each = [sum(svd + STEPS * step for _, svd, step in layers) for layers in published[1:]]
    baseline = {"seconds": statistics.median(seconds_each), "mib": found["baseline"]["mib"]}
    weights = _merger(base, first, "dop", num_steps=baseline_steps, reference_compat=True).add(second).merged()
    ends = zip(names, published[0], strict=True)
    trajectory = max(float((weights[k] - base[k] - x).abs().max()) for k, (x, _, _) in ends)
    step = (found["ours"]["seconds"] - found["setup"]["seconds"]) / steps
    adam = {"seconds": found["setup"]["seconds"] + STEPS * step, "mib": found["ours"]["mib"]}
    floor = {"seconds": found["floor"]["seconds"] * STEPS / steps}
    guessed = {"baseline_seconds"} if baseline_steps != STEPS else set()
    exact_rows = []
    for name in ("exact", "balanced"):
        parts = {"ours": found[name], "baseline": baseline, "floor": found["exact floor"]}
        exact_rows.append(_row(f"DOP-{name}", parts, extrapolated=guessed))
    exact_rows[0]["error"] = max(_stationarity(m, t) for m, t in {m.shape: (m, t) for m, t in pairs}.values())
    parts = {"ours": adam, "baseline": baseline, "floor": floor}
    guessed = guessed | ({"seconds", "floor_seconds"} if steps != STEPS else set())
    return [_row("DOP (Adam)", parts, extrapolated=guessed, trajectory=trajectory), *exact_rows]


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


def bench_batching(base: Model, first: Model, second: Model, repeats: int) -> str:
    """Milliseconds per layer of OPCM's factorisations and products, for each shape, in three ways."""
    by_shape: dict[tuple, list[tuple[Tensor, Tensor]]] = {}
    for k in filter(is_linear, base):
        by_shape.setdefault(tuple(sorted(base[k].shape)), []).append((first[k] - base[k], second[k] - base[k]))
    rows = []
    for shape, pairs in by_shape.items():
        found = _timed(ways(pairs), repeats)
        rows.append([shape, len(pairs), *(f"{1000 * way['seconds'] / len(pairs):.0f}" for way in found.values())])
    return tabulate(rows, ["ms per layer of shape", "layers", *found], disable_numparse=True)


def profile(base: Model, first: Model, second: Model, rows: list[dict], threads: int) -> str:
    """Per method, the CPU seconds of one thread by kind of operation, over the floor's, and the bounds that follow."""
    pairs = [(first[k] - base[k], second[k] - base[k]) for k in base if is_linear(k)]
    floors = {"OPCM": floor_opcm, "DOP-exact": floor_dop_exact}
    settings: dict[str, tuple[str, dict[str, Any]]] = {
        "OPCM": ("opcm", {}),
        "DOP (Adam)": ("dop", {"num_steps": 10}),
        "DOP-exact": ("dop", {"solver": "exact", "alpha": 0.8}),
        "DOP-balanced": ("dop", {"solver": "exact", "alpha": "balanced"}),
        "magmax": ("magmax", {}),
        "ties": ("ties", {}),
    }
    lines = []
    for row in rows:
        if row["method"] not in settings:
            continue
        name, params = settings[row["method"]]
        small = [{k: t[:8, :8] if t.ndim == 2 else t[:8] for k, t in model.items()} for model in (base, first, second)]
        profiled(lambda small=small, name=name, params=params: _merger(*small[:2], name, **params).add(small[2]))  # imports
        merger = _merger(base, first, name, **params)
        row["profile"] = spent = profiled(lambda merger=merger: merger.add(second))
        total = sum(spent.values())
        bounds = []
        if "baseline_seconds" in row and row["method"] != "DOP (Adam)":  # that one ran 10 of 200 steps
            for needed in (KINDS[:3], KINDS[:1]):
                bounds.append(row["baseline_seconds"] * threads / sum(spent[kind] for kind in needed))
        if floor := floors.get(row["method"]):
            row["cpu_over_floor"] = total / sum(profiled(lambda floor=floor: [floor(*pair) for pair in pairs]).values())
        lines.append([row["method"], f"{total:.2f}", *(f"{100 * spent[kind] / total:.0f} %" for kind in KINDS)])
        lines[-1].append(f"{row['cpu_over_floor']:.2f}" if floor else "")
        lines[-1] += [f"{bound:.1f}" for bound in bounds]
    return tabulate(lines, ["one thread", "CPU s", *KINDS, "over floor", "bound", "eigh's alone"], disable_numparse=True)


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
    parser.add_argument("--steps", type=int, default=20, help=f"of Adam's {STEPS} that ours runs; the rest is extrapolated")
    parser.add_argument("--baseline-steps", type=int, default=5, help="the same for the published algorithm")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", nargs="*", choices=(*METHODS, "batching"), default=METHODS)
    parser.add_argument("--profile", action="store_true", help="also print where one thread's time goes")
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
    print(f"{arguments.backbone}, {layers} of {depth} layers, {size / 1e6:.0f} M parameters; {arguments.threads} threads,")
    print(f"torch {torch.__version__}, {platform.machine()}; medians of {arguments.repeats}, in turn in one run\n")
    if "batching" in arguments.only:
        print(bench_batching(*models, arguments.repeats) + "\n")
    rows = []
    if "elementwise" in arguments.only:
        rows += bench_elementwise(*models, arguments.repeats)
    if "opcm" in arguments.only:
        rows += bench_opcm(*models, arguments.repeats)
    if "dop" in arguments.only:
        rows += bench_dop(*models, arguments.repeats, arguments.steps, arguments.baseline_steps)
    if rows:
        print(table(rows))
        print("\nSeconds of wall clock for one merge step; peaks are growths of resident memory in MiB.")
        print(f"* from {arguments.steps} of {STEPS} steps (published: {arguments.baseline_steps}), linearly.")
        print("error: OPCM, the cleaned task vector's relative distance to float64's, worst shape; DOP-exact, the gradient")
        print("there over that at the average.  trajectory: largest difference to the baseline's weights after its steps.")
        print("CUDA: not measured.")
    if rows and arguments.profile:
        print("\n" + profile(*models, rows, arguments.threads))
        print("\nbound: the largest speed-up if nothing but eigh and gemm took time, on all threads.  Adam: 10 steps.")
    if arguments.json:
        report = {
            **vars(arguments),
            "layers": layers,
            "depth": depth,
            "parameters": size,
            "torch": torch.__version__,
            "rows": [{k: sorted(v) if isinstance(v, set) else v for k, v in row.items()} for row in rows],
        }
        with open(arguments.json, "w") as file:
            json.dump(report, file, indent=1)
    return 0


def table(rows: list[dict[str, Any]]) -> str:
    """One line per method; seconds, MiB, ratios."""

    def cell(row: dict[str, Any], key: str, form: str) -> str:
        value = row.get(key)
        star = "*" if key in row.get("extrapolated", ()) else ""
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
