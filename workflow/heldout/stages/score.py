"""Scores images with a method and writes one Parquet file of raw scores.

It reads no test labels; `evaluate` adds them. If the training failed or a score is not finite, the file has no rows and
states the reason. Finished blocks are saved at intervals and when the process is asked to stop; a rerun continues from
there (`resume.py`).
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from heldout import registry, shapes_no_number
from heldout.errors import HeldoutError, NumericalFailure
from heldout.methods import Known, Method
from heldout.numerics import scoring_steps, training_steps
from heldout.numerics.determinism import reproducible
from heldout.numerics.pixels import to_unit_range
from heldout.planning.experiment import JOBS_PER_GPU, SAVE_EVERY_S
from heldout.planning.identity import check_source
from heldout.stages.combine import combine
from heldout.stages.device import describe, hold_device, peak_memory_mib, processor_name
from heldout.stages.memory import Portions
from heldout.stages.progress import progress
from heldout.stages.record import decides_bits, what_ran
from heldout.stages.resume import Saves, stoppable
from heldout.storage import checkpoints
from heldout.storage.files import whole_file
from heldout.storage.hashing import has_checksum
from heldout.storage.manifests import SCORED_PARTS, SplitManifest, read_manifest
from heldout.storage.prepared import image_shape, part_of
from heldout.storage.score_files import Scores, write_scores
from heldout.storage.sidecars import checked_sha256, write_spec
from heldout.storage.specs import ScoreSpec
from heldout.storage.timings import ScoreTiming

Columns = dict[str, list[Any]]


@dataclass(frozen=True)
class Sources:
    """The inputs of a method besides images; most methods have one of the three.

    Attributes:
        checkpoint: of the model that it reads.
        joined: score files of other methods, in any order.
        weights: the folder of fetched weights.
    """

    checkpoint: Path | None = None
    joined: list[Path] = field(default_factory=list)
    weights: Path | None = None


@dataclass(frozen=True)
class _Job:
    """The inputs of a scoring."""

    spec: ScoreSpec
    manifest: SplitManifest
    images_path: Path
    sources: Sources
    device: torch.device
    save_every_s: float
    memory_mib: int | None

    def part(self, name: str) -> Tensor:
        """Return the images of a part of the split, uint8 `(N, C, H, W)`."""
        return part_of(self.images_path, self.manifest, name)


@dataclass
class _Facts:
    """The facts that are stored beside the scores; a failed scoring stores those known at its failure."""

    checkpoint_sha256: str | None = None
    joined_sha256: dict[str, str] = field(default_factory=dict)
    backends: dict[str, str] = field(default_factory=dict)
    fit_s: float | None = None
    ms_per_image: float | None = None
    images: int = 0


def score(
    spec: ScoreSpec,
    images_path: Path,
    split_path: Path,
    sources: Sources,
    scores_path: Path,
    device_name: str,
    save_every_s: float = SAVE_EVERY_S,
    jobs_per_gpu: int = JOBS_PER_GPU,
    memory_mib: int | None = None,
) -> str | None:
    """Score the test, calibration and labelled images; write the scores, their spec and their timing.

    Args:
        spec: of the score file.
        images_path: the prepared array.
        split_path: the split manifest.
        sources: the method's other inputs.
        scores_path: the Parquet file to write; it appears last.
        device_name: `auto`, `cpu`, `cuda` or `cuda:N`.
        save_every_s: seconds between two saves of finished blocks.
        jobs_per_gpu: maximum number of processes on a GPU; others wait.
        memory_mib: limit of the process's GPU memory, or of its RAM on the CPU; None: no limit.

    Returns:
        The reason of a numerical failure, or None.

    Raises:
        HeldoutError: the inputs are not the planned ones, or the device is missing.
    """
    check_source(spec.source, *(("combine", spec.params["by"]) if spec.joins else ("score", spec.method)))
    device = hold_device(device_name, jobs_per_gpu)
    manifest = read_manifest(split_path, spec.split)
    job = _Job(spec, manifest, images_path, sources, device, save_every_s, memory_mib)
    record = _Facts()
    failed, columns = None, _no_columns()
    with reproducible(spec.threads):
        try:
            columns = (_joined if spec.joins else _scored)(job, record)
        except NumericalFailure as failure:
            failed = str(failure)
    _write(scores_path, job, Scores(spec, columns, failed), record)
    Saves(spec, {}, save_every_s).drop()
    return failed


def trained_model(path: Path, expected: str, images_path: Path) -> nn.Module:
    """Rebuild a trained model from its checkpoint, in eval mode and with its weights fixed.

    Args:
        path: the checkpoint.
        expected: the digest of its training.
        images_path: the prepared array, for the images' shape.

    Raises:
        NumericalFailure: the training failed.
        HeldoutError: the checkpoint is damaged or belongs to another training.
    """
    checkpoint = checkpoints.load(path, expected)
    if checkpoint.failed:
        raise NumericalFailure(f"{checkpoint.spec.model}: {checkpoint.failed}")
    model = training_steps.build(checkpoint.spec, image_shape(images_path))
    checkpoints.restore(model, checkpoint, path)
    return scoring_steps.ready(model)


def _no_columns() -> Columns:
    return {"index": [], "part": [], "score": []}


def _joined(job: _Job, record: _Facts) -> Columns:
    paths = job.sources.joined
    record.joined_sha256 = {path.name: checked_sha256(path, job.manifest) for path in paths}
    combined = combine(job.spec, job.manifest, paths)
    record.fit_s, record.ms_per_image, record.images = combined.fit_s, combined.ms_per_image, len(combined.score)
    return _labelled_rows(job) | {"score": combined.score}


def _scored(job: _Job, record: _Facts) -> Columns:
    method = registry.create("method", job.spec.method, job.spec.params)
    prepared = _prepared(method, job, record)
    for computation, backend in method.backends(prepared).items():
        record.backends[computation] = backend.name
        if backend.why:
            print(f"{computation}: uses {backend.name}, because {backend.why}", file=sys.stderr)
    images = torch.cat([job.part(name) for name in SCORED_PARTS])
    columns = _labelled_rows(job)
    indices: list[int] = columns["index"]

    def score_portion(portion: slice) -> dict[str, Tensor]:
        some = images[portion].to(job.device)
        return scoring_steps.score(method, prepared, some, indices[portion], job.spec.seed)

    portions = Portions(method.params, job.memory_mib, job.device)
    size = method.params.block
    blocks = [slice(first, min(first + size, len(images))) for first in range(0, len(images), size)]
    results = _of_blocks(lambda block: portions.score(score_portion, block), blocks, job, record)
    for name in results[0]:
        values = torch.cat([result[name] for result in results])
        if not values.isfinite().all():
            index = indices[int((~values.isfinite()).nonzero()[0])]
            raise NumericalFailure(f"the {name} of image {index} is not finite")
        columns[name] = values.tolist()
    return columns


def _prepared(method: Method, job: _Job, record: _Facts) -> Any:
    """Return the method's state: fitted to the training images, or prepared from the trained model."""
    checkpoint = job.sources.checkpoint
    if checkpoint is not None:
        record.checkpoint_sha256 = checked_sha256(checkpoint, job.manifest)
        assert job.spec.checkpoint is not None, "a checkpoint is given, and none is planned"
        return method.prepare(trained_model(checkpoint, job.spec.checkpoint, job.images_path).to(job.device))
    images = _in_unit_range(job, "train")
    holdout = None
    if job.spec.supervision:
        holdout = _in_unit_range(job, "calibration"), _in_unit_range(job, "labelled_anomalies")
    known = Known(images, job.spec.seed, holdout, _checked_weights(job))
    began = time.perf_counter()
    fitted = method.fit(known)
    record.fit_s = round(time.perf_counter() - began, 3)
    return fitted


def _in_unit_range(job: _Job, part: str) -> Tensor:
    return to_unit_range(job.part(part).to(job.device))


@shapes_no_number
def _checked_weights(job: _Job) -> Path | None:
    folder = job.sources.weights
    for name, checksum in job.spec.weights.items():
        if folder is None or not has_checksum(folder / name, checksum):
            raise HeldoutError(f"{folder and folder / name} is damaged; delete {folder} and run again")
    return folder


def _labelled_rows(job: _Job) -> Columns:
    """Return the columns that identify the image of each row."""
    rows = job.manifest.scored
    return {"index": [index for index, _ in rows], "part": [part for _, part in rows]}


def _of_blocks(
    score_block: Callable[[slice], dict[str, Tensor]], blocks: list[slice], job: _Job, record: _Facts
) -> list[dict[str, Tensor]]:
    """Return the results of all blocks of images, including those that an unfinished run has saved.

    Time is measured from the second block on, since the first calls compile, allocate and load.
    """
    inputs = {"manifest": job.manifest.sha256, "checkpoint_sha256": record.checkpoint_sha256}
    made_with = decides_bits(job.device) | inputs | {"backends": record.backends}
    saves = Saves(job.spec, made_with, job.save_every_s)
    done = saves.load() or {"results": [], "images": 0, "spent_s": 0.0}
    if not _fits(done, blocks):
        raise saves.refused("its blocks are not those of this scoring")
    results = done["results"]
    if results:
        print(f"continuing after {len(results)} of {len(blocks)} blocks of images", file=sys.stderr)
    is_warm = len(blocks) == 1
    if is_warm and not results:
        score_block(blocks[0])
    left = blocks[len(results) :]
    with stoppable() as stop:
        for block in progress(left, len(blocks), f"{job.spec.method} {job.spec.held_out}", done=len(results)):
            began = time.perf_counter()
            results.append(score_block(block))
            if is_warm or (block == blocks[-1] and not done["images"]):
                done["spent_s"] += time.perf_counter() - began
                done["images"] += block.stop - block.start
            is_warm = True
            if stop.signal or saves.is_due:
                saves.save(done)
            if stop.signal:
                stop.leave(f"{len(results)} of {len(blocks)} blocks of images")
    record.images = done["images"]
    record.ms_per_image = round(1000 * done["spent_s"] / done["images"], 4)
    return results


def _fits(done: Any, blocks: list[slice]) -> bool:
    """Whether a saved state holds the results of the first blocks."""
    try:
        sizes = [{len(values) for values in result.values()} for result in done["results"]]
        wanted = [{block.stop - block.start} for block in blocks[: len(sizes)]]
        return sizes == wanted and done["images"] >= 0 <= done["spent_s"]
    except (LookupError, TypeError, AttributeError):
        return False


def _write(path: Path, job: _Job, scores: Scores, record: _Facts) -> None:
    timing = ScoreTiming(
        fit_s=record.fit_s,
        ms_per_image=record.ms_per_image,
        images=record.images,
        peak_memory_mib=peak_memory_mib(job.device),
        device=describe(job.device),
        processor=processor_name(),
        backends=record.backends,
        threads=job.spec.threads,
        failed=scores.failed,
    )
    with whole_file(path) as temporary:
        write_scores(temporary, scores)
        timing.write_beside(path)
        write_spec(
            path,
            temporary,
            job.spec,
            failed=scores.failed,
            manifest=job.manifest.sha256,
            checkpoint_sha256=record.checkpoint_sha256,
            joined_sha256=record.joined_sha256,
            ran=what_ran(job.device) | {"backends": record.backends},
        )
