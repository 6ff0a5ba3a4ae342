"""The loop around a training: its inputs checked, progress, history, timing, and one checkpoint at the end.

The numbers are shaped in `steps.py` and the model's file. The last step counts: no epoch is chosen on test data.
"""

import csv
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from heldout import checkpoints, registry, steps
from heldout.errors import HeldoutError, NumericalFailure
from heldout.files import whole_file, write_json
from heldout.identity import ALWAYS, check_source
from heldout.protocols import content_sha256, read_manifest
from heldout.running import (
    choose_device,
    describe,
    peak_memory_mib,
    progress,
    reproducible,
    synchronise,
    what_ran,
)
from heldout.sidecars import HISTORY, TIMING, sidecar, write_spec


def train(spec: dict[str, Any], images_path: Path, split_path: Path, checkpoint: Path, device_name: str) -> str | None:
    """Train one model and write its checkpoint, spec, history and timing.

    Args:
        spec: `model, params, seed, precision, threads, split, source` and the task's names.
        images_path: the prepared array.
        split_path: the task's manifest.
        checkpoint: the file to write; it appears last, so that what exists is complete.
        device_name: `auto`, `cpu`, `cuda` or `cuda:N`.

    Returns:
        Why the training failed numerically, or None.

    Raises:
        HeldoutError: the inputs are not the planned ones, or the device is missing.
    """
    check_source(spec, f"heldout.models.{spec['model']}", ALWAYS)
    device = choose_device(device_name)
    manifest = read_manifest(split_path, spec["split"])
    images = part_of(images_path, manifest, "train").to(device)
    with reproducible(spec["threads"]):
        model = steps.build(spec, image_shape(images_path)).to(device)
        rows: list[dict[str, Any]] = []
        failed = None
        began = time.perf_counter()
        try:
            _train(model, images, spec, rows)
        except NumericalFailure as failure:
            failed = str(failure)
        synchronise(device)
        wall_s = time.perf_counter() - began

    drawn = sum(row["images"] for row in rows)
    timing = {
        "wall_s": round(wall_s, 3),
        "images_per_s": round(drawn / wall_s, 1),
        "steps": model.params.steps,
        "peak_memory_mib": peak_memory_mib(device),
        "device": describe(device),
        "threads": spec["threads"],
        "failed": failed,
    }
    with whole_file(checkpoint) as temporary:
        checkpoints.write(temporary, spec, {} if failed else model.state_dict(), failed)
        write_spec(checkpoint, temporary, spec, failed=failed, manifest=manifest["sha256"], ran=what_ran(device))
        write_json(sidecar(checkpoint, TIMING), timing)
        _write_history(sidecar(checkpoint, HISTORY), rows)
    return failed


def image_shape(images_path: Path) -> registry.ImageShape:
    """Return the shape of a prepared array's images; reads its header alone."""
    _, channels, side, _ = np.load(images_path, mmap_mode="r", allow_pickle=False).shape
    return registry.ImageShape(channels, side)


def part_of(images_path: Path, manifest: dict[str, Any], part: str) -> torch.Tensor:
    """Return the images of a part, uint8 `(N, C, H, W)`, after checking that they are what the split saw.

    Raises:
        HeldoutError: the prepared array has changed.
    """
    array = np.load(images_path, mmap_mode="r", allow_pickle=False)
    if content_sha256(array, manifest[part]) != manifest["content"][part]:
        raise HeldoutError(
            f"{images_path} no longer holds the {part} images of the split; delete it and the split, and run again"
        )
    return torch.from_numpy(array[manifest[part]])


def _train(model: torch.nn.Module, images: torch.Tensor, spec: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Run every step; add a history row per epoch: the mean of each loss over the steps that began in it."""
    seen = 0
    title = f"{spec['model']} {spec['held_out']}"
    trained = progress(steps.train(model, images, spec), model.params.steps, title)
    for step, (losses, drawn) in enumerate(trained, start=1):
        for name, loss in losses.items():
            if not math.isfinite(loss):
                raise NumericalFailure(f"the {name} loss is {loss} at step {step}")
        epoch = seen // len(images) + 1
        if not rows or rows[-1]["epoch"] != epoch:
            rows.append({"epoch": epoch, "step": step, "steps": 0, "images": 0, **dict.fromkeys(losses, 0.0)})
        row = rows[-1]
        row["step"], row["steps"], row["images"] = step, row["steps"] + 1, row["images"] + drawn
        for name, loss in losses.items():
            row[name] += (loss - row[name]) / row["steps"]
        seen += drawn


def _write_history(path: Path, rows: list[dict[str, Any]]) -> None:
    with whole_file(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        columns = list(rows[0]) if rows else ["epoch", "step", "steps", "images"]
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
