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

from heldout import checkpoints, randomness, registry, steps
from heldout.errors import HeldoutError, NumericalFailure
from heldout.files import whole_file, write_json
from heldout.identity import ALWAYS, check_source
from heldout.images import to_unit_range
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
from heldout.samples import sample
from heldout.sidecars import HISTORY, TIMING, checked_sha256, sidecar, write_spec

DRAWN = 64  # samples behind a history's diversity


def train(
    spec: dict[str, Any],
    images_path: Path,
    split_path: Path,
    checkpoint: Path,
    device_name: str,
    parent: Path | None = None,
) -> str | None:
    """Train one model and write its checkpoint, spec, history and timing.

    Args:
        spec: `model, params, seed, precision, threads, split, source` and the task's names; `parent` where the model
            is trained on another, `normal_classes` where it is told the classes.
        images_path: the prepared array.
        split_path: the task's manifest.
        checkpoint: the file to write; it appears last, so that what exists is complete.
        device_name: `auto`, `cpu`, `cuda` or `cuda:N`.
        parent: the checkpoint of the model it is trained on, if any.

    Returns:
        Why the training failed numerically, or None.

    Raises:
        HeldoutError: the inputs are not the planned ones, or the device is missing.
    """
    check_source(spec, f"heldout.models.{spec['model']}", ALWAYS)
    device = choose_device(device_name)
    manifest = read_manifest(split_path, spec["split"])
    images = part_of(images_path, manifest, "train").to(device)
    classes = torch.tensor(manifest["train_classes"], device=device) if "normal_classes" in spec else None
    with reproducible(spec["threads"]):
        model = steps.build(spec, image_shape(images_path))
        rows: list[dict[str, Any]] = []
        failed, parent_sha256, watching_s = None, None, 0.0
        began = time.perf_counter()
        try:
            if "parent" in spec:
                parent_sha256 = _restore_parent(model, parent, spec["parent"], manifest)
            watching_s = _train(model.to(device), images, classes, spec, rows)
        except NumericalFailure as failure:
            failed = str(failure)
        synchronise(device)
        wall_s = time.perf_counter() - began - watching_s

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
        read = {"manifest": manifest["sha256"], "parent_sha256": parent_sha256}
        write_spec(checkpoint, temporary, spec, failed=failed, **read, ran=what_ran(device))
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


def _restore_parent(
    model: torch.nn.Module, path: Path | None, expected: dict[str, Any], manifest: dict[str, Any]
) -> str:
    """Load the parent's weights into the model; return the hash of its file."""
    if path is None:
        raise HeldoutError(f"the spec names a parent, {expected['model']}; give its checkpoint: --parent FILE")
    sha256 = checked_sha256(path, manifest)
    checkpoint = checkpoints.load(path, expected["digest"])
    if checkpoint.failed:
        raise NumericalFailure(f"{expected['model']}: {checkpoint.failed}")
    checkpoints.restore(model.parent, checkpoint, path)
    return sha256


def _train(
    model: torch.nn.Module,
    images: torch.Tensor,
    classes: torch.Tensor | None,
    spec: dict[str, Any],
    rows: list[dict[str, Any]],
) -> float:
    """Run every step; add a history row per epoch: the mean of what shows stability over the steps that began in it.

    With `refit` the epochs of the second training go on from those of the first. A row has each loss, the norm of each
    part's gradient, and at its end the diversity of what the generator draws.

    Returns:
        Seconds spent on what is only for the history.
    """
    seen, watching_s = 0, 0.0
    title = f"{spec['model']} {spec['held_out']}"
    trained = progress(
        steps.train(model, images, spec, classes), model.params.steps * (2 if model.params.refit else 1), title
    )
    for step, (losses, drawn) in enumerate(trained, start=1):
        for name, loss in losses.items():
            if not math.isfinite(loss):
                raise NumericalFailure(f"the {name} loss is {loss} at step {step}")
        epoch = seen // len(images) + 1
        began = time.perf_counter()
        watched = losses | _gradient_norms(model)
        if not rows or rows[-1]["epoch"] != epoch:
            if rows:
                rows[-1] |= _diversity(model, images)
            rows.append({"epoch": epoch, "step": step, "steps": 0, "images": 0, **dict.fromkeys(watched, 0.0)})
        row = rows[-1]
        row["step"], row["steps"], row["images"] = step, row["steps"] + 1, row["images"] + drawn
        for name, value in watched.items():
            row[name] += (value - row[name]) / row["steps"]
        seen += drawn
        watching_s += time.perf_counter() - began
    rows[-1] |= _diversity(model, images)
    return watching_s


def _gradient_norms(model: torch.nn.Module) -> dict[str, float]:
    """The Euclidean norm of the last gradient of each part's weights: whether it vanishes or explodes."""
    norms = {}
    for name, part in model.named_children():
        gradients = [weight.grad for weight in part.parameters() if weight.grad is not None]
        if gradients:
            norms[f"{name}_gradient"] = torch.nn.utils.get_total_norm(gradients).item()
    return norms


def _diversity(model: torch.nn.Module, images: torch.Tensor) -> dict[str, float]:
    """How far apart samples lie, as a share of what as many training images do: near 0, it draws one image."""
    model.eval()
    made = sample(model, DRAWN, randomness.generator("diversity"))
    model.train()
    if made is None:
        return {}
    real = to_unit_range(images[:DRAWN])
    return {"diversity": (torch.pdist(made.flatten(1)).mean() / torch.pdist(real.flatten(1)).mean()).item()}


def _write_history(path: Path, rows: list[dict[str, Any]]) -> None:
    with whole_file(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        columns = list(rows[0]) if rows else ["epoch", "step", "steps", "images"]
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
