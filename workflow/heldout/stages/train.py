"""Trains a model: checks its inputs, runs the updates, and writes a checkpoint with history and timing.

`numerics/training_steps.py` and the model's file compute the updates. The checkpoint is that of the last step: no epoch
is selected on test data. The state is saved at intervals and when the process is asked to stop; a rerun continues from
it (`resume.py`).
"""

import importlib
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn

from heldout.errors import HeldoutError, NumericalFailure
from heldout.numerics import training_steps
from heldout.numerics.determinism import reproducible
from heldout.planning.experiment import JOBS_PER_GPU, SAVE_EVERY_S
from heldout.planning.identity import check_source
from heldout.stages.device import describe, hold_device, peak_memory_mib, processor_name, synchronise
from heldout.stages.history import History
from heldout.stages.progress import progress
from heldout.stages.record import decides_bits, what_ran
from heldout.stages.resume import Saves, stoppable
from heldout.storage import checkpoints
from heldout.storage.files import whole_file
from heldout.storage.manifests import SplitManifest, read_manifest
from heldout.storage.prepared import image_shape, part_of
from heldout.storage.sidecars import HISTORY, checked_sha256, sidecar, write_spec
from heldout.storage.specs import TrainSpec
from heldout.storage.timings import TrainTiming


@dataclass(frozen=True)
class _Job:
    """The inputs of a training.

    Attributes:
        read: hashes of its input files, stored beside the checkpoint.
    """

    spec: TrainSpec
    images_path: Path
    parent: Path | None
    read: dict[str, str | None]
    device: torch.device

    def fresh(self) -> nn.Module:
        """Return the model with its first weights, and its parent's trained ones, on the device.

        Raises:
            NumericalFailure: the training of the parent failed.
        """
        model = training_steps.build(self.spec, image_shape(self.images_path))
        if self.spec.parent is not None and self.parent is not None:
            checkpoint = checkpoints.load(self.parent, self.spec.parent.digest)
            if checkpoint.failed:
                raise NumericalFailure(f"{self.spec.parent.model}: {checkpoint.failed}")
            checkpoints.restore(model.get_submodule("parent"), checkpoint, self.parent)
        return model.to(self.device)


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
        spec: of the checkpoint.
        images_path: the prepared array.
        split_path: the split manifest.
        checkpoint: the file to write; it appears last, so an existing checkpoint is complete.
        device_name: `auto`, `cpu`, `cuda` or `cuda:N`.
        parent: the checkpoint of the parent model, if any.
        save_every_s: seconds between two saves of the state.
        jobs_per_gpu: maximum number of processes on a GPU; others wait.

    Returns:
        The reason of a numerical failure, or None.

    Raises:
        HeldoutError: the inputs are not the planned ones, or the device is missing.
    """
    check_source(spec.source, "train", spec.model)
    device = hold_device(device_name, jobs_per_gpu)
    manifest = read_manifest(split_path, spec.split)
    job = _Job(spec, images_path, parent, _hashes(spec, manifest, parent), device)
    images = part_of(images_path, manifest, "train").to(device)
    classes = torch.tensor(manifest.train_classes, device=device) if spec.normal_classes is not None else None
    weights: dict[str, torch.Tensor] = {}
    history, failed = History(), None
    saves = Saves(spec, decides_bits(device) | job.read, save_every_s)
    with reproducible(spec.threads):
        importlib.import_module("torch._dynamo")  # else the optimiser's first step imports it, which takes a second
        try:
            training = training_steps.Training(job.fresh, images, spec, classes)
            history = _restored(training, saves)
            _run(training, history, saves, job)
            weights = training.model.state_dict()
        except NumericalFailure as failure:
            failed = str(failure)
    _write(checkpoint, job, weights, history, failed)
    saves.drop()
    return failed


def _hashes(spec: TrainSpec, manifest: SplitManifest, parent: Path | None) -> dict[str, str | None]:
    if spec.parent is None:
        return {"manifest": manifest.sha256, "parent_sha256": None}
    if parent is None:
        raise HeldoutError(f"the spec names a parent, {spec.parent.model}; give its checkpoint: --parent FILE")
    return {"manifest": manifest.sha256, "parent_sha256": checked_sha256(parent, manifest)}


def _restored(training: training_steps.Training, saves: Saves) -> History:
    """Restore the saved state, if there is one; return the history so far."""
    state = saves.load()
    if state is None:
        return History()
    try:
        training.restore(state["training"])
        history = History(**state["history"])
    except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise saves.refused(error) from error
    print(f"continuing from step {history.step} of {len(training)}", file=sys.stderr)
    return history


def _run(training: training_steps.Training, history: History, saves: Saves, job: _Job) -> None:
    """Run all remaining updates; save the state at intervals and when asked to stop."""

    def save() -> None:
        synchronise(job.device)
        history.spent_s = spent_before + time.perf_counter() - began
        saves.save({"training": training.state(), "history": asdict(history)})

    spent_before, began = history.spent_s, time.perf_counter()
    title = f"{job.spec.model} {job.spec.held_out}"
    try:
        with stoppable() as stop:
            for losses, drawn in progress(training, len(training), title, done=history.step):
                history.add(training, losses, drawn)
                if stop.signal or saves.is_due:
                    save()
                if stop.signal:
                    stop.leave(f"step {history.step} of {len(training)}")
            history.end_row(training)
    finally:
        synchronise(job.device)
        history.spent_s = spent_before + time.perf_counter() - began


def _write(checkpoint: Path, job: _Job, weights: dict[str, torch.Tensor], history: History, failed: str | None) -> None:
    wall_s = history.spent_s - history.watching_s
    timing = TrainTiming(
        wall_s=round(wall_s, 3),
        images_per_s=round(history.seen / wall_s, 1) if wall_s else 0.0,
        steps=job.spec.params["steps"],
        peak_memory_mib=peak_memory_mib(job.device),
        device=describe(job.device),
        processor=processor_name(),
        threads=job.spec.threads,
        failed=failed,
    )
    with whole_file(checkpoint) as temporary:
        checkpoints.write(temporary, job.spec, weights, failed)
        timing.write_beside(checkpoint)
        history.write(sidecar(checkpoint, HISTORY))
        write_spec(checkpoint, temporary, job.spec, failed=failed, **job.read, ran=what_ran(job.device))
