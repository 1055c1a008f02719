"""What `cmm add` takes for a ViT-L/14 vision tower (1.2 GB of float32): peak resident memory and time, model by model.

    python -m cmmlib.bench.memory FOLDER [--models 10] [--layers 24] [--method opcm] [--set P=VALUE]

Weights are random in the real shapes.  Needs 1.2 GB on disk for the base, the model under way and two generations each.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

VIT_L_14 = dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, patch_size=14)


def write_tower(folder: Path, seed: int, layers: int, base: Path | None = None) -> None:
    """A random tower, or a copy of ``base`` with Gaussian noise of 2 % of its weights' scale."""
    import torch
    from transformers import CLIPVisionConfig, CLIPVisionModel

    from ..models.checkpoints import open_tensors
    from ..models.stream import Writer, header_room

    config = CLIPVisionConfig(**VIT_L_14 | {"num_hidden_layers": layers}, image_size=224, projection_dim=768)
    with torch.device("meta"):
        shapes = {
            name: tuple(x.shape) for name, x in CLIPVisionModel(config).state_dict().items() if "position_ids" not in name
        }
    folder.mkdir(parents=True, exist_ok=True)
    config.to_json_file(folder / "config.json")
    generator, source = torch.Generator().manual_seed(seed), open_tensors(base) if base else None
    with Writer(folder / "model.safetensors", room=header_room(list(shapes)), metadata={"format": "pt"}) as writer:
        for name, shape in shapes.items():
            noise = torch.randn(shape, generator=generator)
            tensor = source.read(name.removeprefix("vision_model.")) + 4e-4 * noise if source else 0.02 * noise
            writer.put("vision_model." + name.removeprefix("vision_model."), tensor)


def measured(*command: str) -> tuple[float, float, float]:
    """(peak resident MB, CPU seconds, seconds) of a fresh process."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL)
    _, code, usage = os.wait4(process.pid, 0)
    if code:
        raise SystemExit(f"{command} failed")
    return usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", type=int, default=10)
    parser.add_argument("--method", default="opcm")
    parser.add_argument("--layers", type=int, default=24, help="fewer to go faster; the largest tensor stays what it is")
    parser.add_argument("--set", action="append", default=[])
    arguments = parser.parse_args()
    root = arguments.folder
    state, cmm = root / f"state-{arguments.method}", ("-m", "cmmlib.cli")
    rows = [("interpreter", *measured("-c", "pass")), ("with torch", *measured("-c", "import torch"))]
    rows.append(("with cmmlib", *measured("-c", "import cmmlib.merging.merger, cmmlib.cli.commands")))
    if not (root / "base" / "model.safetensors").exists():
        write_tower(root / "base", 0, arguments.layers)
    settings = [argument for setting in arguments.set for argument in ("--set", setting)]
    base = str(root / "base")
    rows.append(("start", *measured(*cmm, "start", str(state), "--base", base, "--method", arguments.method, *settings)))
    for number in range(1, arguments.models + 1):
        write_tower(root / "model", number, arguments.layers, root / "base")
        rows.append((f"add {number}", *measured(*cmm, "add", str(state), str(root / "model"), "--name", f"model {number}")))
        print(json.dumps(rows[-1]), flush=True)
    rows.append(("export", *measured(*cmm, "export", str(state), str(root / f"out-{arguments.method}"))))
    print(f"\n{'':12}  peak MB  CPU s  seconds")
    print("\n".join(f"{what:12}  {peak:7.0f}  {cpu:5.1f}  {seconds:7.1f}" for what, peak, cpu, seconds in rows))


if __name__ == "__main__":
    main()
