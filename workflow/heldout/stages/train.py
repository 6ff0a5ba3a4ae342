"""The loop around a training: its inputs checked, progress, history, timing, and one checkpoint at the end.

`numerics/training_steps.py` and the model's file compute the updates. The last step counts: no epoch is chosen on test
data. The state is saved at intervals, and when the process is asked to stop; a rerun continues from it (`resume.py`).
"""

import csv
import importlib
import math
import sys
import time
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from heldout.errors import HeldoutError, NumericalFailure
from heldout.numerics import randomness, training_steps
from heldout.numerics.determinism import reproducible
from heldout.numerics.pixels import to_unit_range
from heldout.planning.experiment import JOBS_PER_GPU, SAVE_EVERY_S
from heldout.planning.identity import check_source
from heldout.stages.device import describe, hold_device, peak_memory_mib, synchronise
from heldout.stages.progress import progress
from heldout.stages.record import decides_bits, what_ran
from heldout.stages.resume import Saves, stoppable
from heldout.stages.samples import sample
from heldout.storage import checkpoints
from heldout.storage.files import whole_file, write_json
from heldout.storage.manifests import read_manifest
from heldout.storage.prepared import image_shape, part_of
from heldout.storage.sidecars import HISTORY, TIMING, checked_sha256, sidecar, write_spec
from heldout.storage.specs import Parent, TrainSpec

DRAWN = 64  # samples behind a history's diversity


@dataclass
class History:
    """What a training has shown so far.

    Attributes:
        rows: one per epoch, the mean of what shows stability over the steps that began in it.
        step: updates done.
        seen: images drawn.
        spent_s: seconds in the loop, of all processes that had a part in it.
        watching_s: those of them that were spent on the rows.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    step: int = 0
    seen: int = 0
    spent_s: float = 0.0
    watching_s: float = 0.0


def train(
    spec: TrainSpec,
    images_path: Path,
    split_path: Path,
    checkpoint: Path,
    device_name: str,
    parent: Path | None = None,
    save_every_s: float = SAVE_EVERY_S,
    jobs_per_gpu: int = JOBS_PER_GPU,
) -> str | None:
    """Train one model and write its checkpoint, spec, history and timing.

    Args:
        spec: what determines the checkpoint.
        images_path: the prepared array.
        split_path: the task's manifest.
        checkpoint: the file to write; it appears last, so that what exists is complete.
        device_name: `auto`, `cpu`, `cuda` or `cuda:N`.
        parent: the checkpoint of the model it is trained on, if any.
        save_every_s: seconds between two saves of what is done.
        jobs_per_gpu: how many processes may share a GPU; further ones wait.

    Returns:
        Why the training failed numerically, or None.

    Raises:
        HeldoutError: the inputs are not the planned ones, or the device is missing.
    """
    check_source(spec.source, "train", spec.model)
    device = hold_device(device_name, jobs_per_gpu)
    manifest = read_manifest(split_path, spec.split)
    images = part_of(images_path, manifest, "train").to(device)
    classes = torch.tensor(manifest["train_classes"], device=device) if spec.normal_classes is not None else None
    with reproducible(spec.threads):
        weights: dict[str, torch.Tensor] = {}
        history = History()
        failed, parent_sha256 = None, None
        importlib.import_module("torch._dynamo")  # as an optimiser's first step would: a second that is no training
        try:
            restore_parent = None
            if spec.parent is not None:
                restore_parent, parent_sha256 = _read_parent(parent, spec.parent, manifest)
            made_with = decides_bits(device) | {"manifest": manifest["sha256"], "parent_sha256": parent_sha256}
            saves = Saves(spec, made_with, save_every_s)

            def fresh() -> torch.nn.Module:
                model = training_steps.build(spec, image_shape(images_path))
                if restore_parent:
                    restore_parent(model.parent)
                return model.to(device)

            training = training_steps.Training(fresh, images, spec, classes)
            history = _restored(training, saves) or history
            _run(training, history, saves, f"{spec.model} {spec.held_out}", device)
            weights = training.model.state_dict()
        except NumericalFailure as failure:
            failed = str(failure)

    wall_s = history.spent_s - history.watching_s
    timing = {
        "wall_s": round(wall_s, 3),
        "images_per_s": round(history.seen / wall_s, 1) if wall_s else 0.0,
        "steps": spec.params["steps"],
        "peak_memory_mib": peak_memory_mib(device),
        "device": describe(device),
        "threads": spec.threads,
        "failed": failed,
    }
    with whole_file(checkpoint) as temporary:
        checkpoints.write(temporary, spec, weights, failed)
        read = {"manifest": manifest["sha256"], "parent_sha256": parent_sha256}
        write_spec(checkpoint, temporary, spec, failed=failed, **read, ran=what_ran(device))
        write_json(sidecar(checkpoint, TIMING), timing)
        _write_history(sidecar(checkpoint, HISTORY), history.rows)
    Saves(spec, {}, save_every_s).drop()
    return failed


def _read_parent(path: Path | None, expected: Parent, manifest: dict[str, Any]) -> tuple[Any, str]:
    """Return a function that loads the parent's weights into a freshly built parent, and the hash of its file."""
    if path is None:
        raise HeldoutError(f"the spec names a parent, {expected.model}; give its checkpoint: --parent FILE")
    sha256 = checked_sha256(path, manifest)
    checkpoint = checkpoints.load(path, expected.digest)
    if checkpoint.failed:
        raise NumericalFailure(f"{expected.model}: {checkpoint.failed}")
    return partial(checkpoints.restore, checkpoint=checkpoint, path=path), sha256


def _restored(training: training_steps.Training, saves: Saves) -> History | None:
    """Take up a saved training; return its history, or None if there is none to take up."""
    state = saves.load()
    if state is None:
        return None
    training.restore(state["training"])
    history = History(**state["history"])
    print(f"continuing from step {history.step} of {len(training)}", file=sys.stderr)
    return history


def _run(training: training_steps.Training, history: History, saves: Saves, title: str, device: torch.device) -> None:
    """Make every update that is left; save now and then, and before leaving when asked to stop."""

    def save() -> None:
        synchronise(device)
        history.spent_s = spent_before + time.perf_counter() - began
        saves.save({"training": training.state(), "history": asdict(history)})

    spent_before, began = history.spent_s, time.perf_counter()
    try:
        with stoppable() as stop:
            for losses, drawn in progress(training, len(training), title, done=history.step):
                _watch(training, history, losses, drawn)
                if stop.signal or saves.is_due:
                    save()
                if stop.signal:
                    stop.leave(f"step {history.step} of {len(training)}")
            history.rows[-1] |= _diversity(training)
    finally:
        synchronise(device)
        history.spent_s = spent_before + time.perf_counter() - began


def _watch(training: training_steps.Training, history: History, losses: dict[str, float], drawn: int) -> None:
    """Count an update; add a history row per epoch, and where another part of a training begins.

    With `refit` the epochs of the second training go on from those of the first. A row has each loss, the norm of each
    part's gradient, and at its end the diversity of what the generator draws.
    """
    history.step += 1
    for name, loss in losses.items():
        if not math.isfinite(loss):
            raise NumericalFailure(f"the {name} loss is {loss} at step {history.step}")
    began = time.perf_counter()
    rows, epoch = history.rows, history.seen // len(training.images) + 1
    watched = losses | _gradient_norms(training.model)
    if not rows or rows[-1]["epoch"] != epoch or not losses.keys() <= rows[-1].keys():
        if rows:
            rows[-1] |= _diversity(training)
        rows.append({"epoch": epoch, "step": 0, "steps": 0, "images": 0, **dict.fromkeys(watched, 0.0)})
    row = rows[-1]
    row["step"], row["steps"], row["images"] = history.step, row["steps"] + 1, row["images"] + drawn
    for name, value in watched.items():
        row[name] += (value - row[name]) / row["steps"]
    history.seen += drawn
    history.watching_s += time.perf_counter() - began


def _gradient_norms(model: torch.nn.Module) -> dict[str, float]:
    """The Euclidean norm of the last gradient of each part's weights: whether it vanishes or explodes."""
    norms = {}
    for name, part in model.named_children():
        gradients = [weight.grad for weight in part.parameters() if weight.grad is not None]
        if gradients:
            norms[f"{name}_gradient"] = torch.nn.utils.get_total_norm(gradients).item()
    return norms


def _diversity(training: training_steps.Training) -> dict[str, float]:
    """How far apart samples lie, as a share of what as many training images do: near 0, it draws one image."""
    model = training.model
    model.eval()
    made = sample(training.name, model, DRAWN, randomness.generator("diversity"))
    model.train()
    if made is None:
        return {}
    real = to_unit_range(training.images[:DRAWN])
    return {"diversity": (torch.pdist(made.flatten(1)).mean() / torch.pdist(real.flatten(1)).mean()).item()}


def _write_history(path: Path, rows: list[dict[str, Any]]) -> None:
    with whole_file(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        columns = list(dict.fromkeys(name for row in rows for name in row)) or ["epoch", "step", "steps", "images"]
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
