"""``python -m cmmlib.bench``: one merge step at real shapes, against the published algorithms and against the floor.

Three things are timed in turn in one run: our implementation; a plain implementation of the published algorithm; and the
*floor*, only the factorisations and products that ours needs, called directly, with several layers at a time as in ours.
Methods that keep sums are timed against the floor alone, and with the solve that their merged weights need.

The models are random vision towers with the shapes of CLIP's.  The task vector of an m × n weight, m ≤ n, is a sum of m/8
random rank-one terms, the i-th of length about 1/i, plus white noise whose largest singular value is a tenth of the first.

``--profile`` also prints how one thread's time is spent, and bounds on the speed-up: the published algorithm's seconds over
those of our factorisations and products, spread over the threads, and over those of eigh alone.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path

import torch

from ..terminal import run_command
from .floor_of_sums import FLOORS
from .profile import profile
from .random_towers import BACKBONES, random_towers
from .steps import STEPS, bench_dop, bench_elementwise, bench_opcm, bench_sums
from .table import Row, table

METHODS = ("opcm", "dop", "elementwise", *FLOORS)


def make_parser() -> argparse.ArgumentParser:
    """Make the parser of the command's options."""
    parser = argparse.ArgumentParser(prog="python -m cmmlib.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", choices=BACKBONES, default="ViT-B/32")
    parser.add_argument("--layers", type=int, default=None, help="transformer layers (default: all of the backbone's)")
    parser.add_argument("--no-embeddings", action="store_true", help="transformer layers alone")
    parser.add_argument("--steps", type=int, default=20, help=f"of Adam's {STEPS} that ours runs; the rest is extrapolated")
    parser.add_argument("--baseline-steps", type=int, default=5, help="the same for the published algorithm")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", nargs="*", choices=METHODS, default=METHODS)
    parser.add_argument("--profile", action="store_true", help="also print where one thread's time goes")
    parser.add_argument("--json", metavar="FILE", help="also write all numbers there")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Measure, print the table, and write the file that ``--json`` asks for."""
    arguments = make_parser().parse_args(argv)
    torch.set_num_threads(arguments.threads)
    depth = BACKBONES[arguments.backbone][1]
    layers = min(arguments.layers or depth, depth)
    towers = random_towers(arguments.backbone, layers, not arguments.no_embeddings)
    size = sum(tensor.numel() for tensor in towers.base.values())
    print(f"{arguments.backbone}, {layers} of {depth} layers, {size / 1e6:.0f} M parameters; {arguments.threads} threads,")
    print(f"torch {torch.__version__}, {platform.machine()}; medians of {arguments.repeats}, in turn in one run\n")
    rows: list[Row] = []
    if "elementwise" in arguments.only:
        rows += bench_elementwise(towers, arguments.repeats)
    if "opcm" in arguments.only:
        rows += bench_opcm(towers, arguments.repeats)
    if "dop" in arguments.only:
        rows += bench_dop(towers, arguments.repeats, arguments.steps, arguments.baseline_steps)
    rows += bench_sums(towers, arguments.repeats, [method for method in FLOORS if method in arguments.only])
    if rows:
        print(table(rows))
        print("\nSeconds of wall clock for one merge step; peaks are growths of resident memory in MiB.")
        print(f"* from {arguments.steps} of {STEPS} steps (published: {arguments.baseline_steps}), linearly.")
        print("error: OPCM, the cleaned task vector's relative distance to float64's, worst shape; DOP-exact, the gradient")
        print("there over that at the average.  trajectory: largest difference to the baseline's weights after its steps.")
        print("CUDA: not measured.")
    if rows and arguments.profile:
        print("\n" + profile(towers, rows, arguments.threads))
        print("\nbound: the largest speed-up if nothing but eigh and gemm took time, on all threads.  Adam: 10 steps.")
    if arguments.json:
        about = {"layers": layers, "depth": depth, "parameters": size, "torch": torch.__version__}
        sets_as_lists = [{key: sorted(x) if isinstance(x, set) else x for key, x in row.items()} for row in rows]
        Path(arguments.json).write_text(json.dumps({**vars(arguments), **about, "rows": sets_as_lists}, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command("bench", main))
