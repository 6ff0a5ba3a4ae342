"""The loop around a method: the model it reads, the images it scores, and one Parquet file of raw scores.

Test labels are not among its inputs; `evaluate` joins them. A failed training, or a score that is not finite, leaves a
file without rows that says why. What is scored is saved now and then, and when the process is asked to stop; a rerun
goes on from there (`resume.py`).
"""

import math
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from heldout import registry
from heldout.errors import HeldoutError, NumericalFailure, unknown
from heldout.numerics import training_steps
from heldout.numerics.determinism import reproducible
from heldout.planning.experiment import JOBS_PER_GPU, SAVE_EVERY_S
from heldout.planning.identity import check_source
from heldout.search import backends
from heldout.stages.device import describe, hold_device, peak_memory_mib
from heldout.stages.memory import Portions
from heldout.stages.progress import progress
from heldout.stages.record import decides_bits, what_ran
from heldout.stages.resume import Saves, stoppable
from heldout.storage import checkpoints
from heldout.storage.files import whole_file, write_json
from heldout.storage.hashing import has_checksum
from heldout.storage.manifests import SCORED_PARTS, read_manifest
from heldout.storage.prepared import image_shape, part_of
from heldout.storage.score_files import Scores, read_scores, write_scores
from heldout.storage.sidecars import TIMING, checked_sha256, sidecar, write_spec
from heldout.storage.specs import ScoreSpec


@dataclass(frozen=True)
class Sources:
    """What a method reads beyond the images; most read one of the three.

    Attributes:
        checkpoint: the training that it reads.
        joined: the scores of other methods, in any order.
        weights: the folder of fetched weights.
    """

    checkpoint: Path | None = None
    joined: list[Path] = field(default_factory=list)
    weights: Path | None = None


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
    """Score every image that is not trained on, and write the scores, their spec and their timing.

    Args:
        spec: what determines the score file.
        images_path: the prepared array.
        split_path: the task's manifest.
        sources: what the method reads beyond the images.
        scores_path: the Parquet file to write; it appears last.
        device_name: `auto`, `cpu`, `cuda` or `cuda:N`.
        save_every_s: seconds between two saves of what is scored.
        jobs_per_gpu: how many processes may share a GPU; further ones wait.
        memory_mib: what the scoring may hold, if there is a limit: on a GPU of its memory, else of RAM.

    Returns:
        Why the scoring failed numerically, or None.

    Raises:
        HeldoutError: the inputs are not the planned ones, or the device is missing.
    """
    check_source(spec.source, "score", spec.method)
    device = hold_device(device_name, jobs_per_gpu)
    manifest = read_manifest(split_path, spec.split)
    method = registry.create("method", spec.method, spec.params)
    timing = {"fit_s": None, "ms_per_image": None, "images": 0}
    columns: dict[str, Any] = {"index": [], "part": [], "score": []}
    checkpoint_sha256, joined_sha256 = None, {}
    with reproducible(spec.threads), backends.recorded() as chosen:
        try:
            if spec.joins:
                joined_sha256 = {path.name: checked_sha256(path, manifest) for path in sources.joined}
                _score_joined(method, spec, sources.joined, manifest, columns, timing)
            else:
                if sources.checkpoint is None:
                    read = _fitted(method, spec, images_path, manifest, sources.weights, device, timing)
                else:
                    checkpoint_sha256 = checked_sha256(sources.checkpoint, manifest)
                    read = trained_model(sources.checkpoint, spec.checkpoint, images_path).to(device)
                made_with = {"manifest": manifest["sha256"], "checkpoint_sha256": checkpoint_sha256}
                saves = Saves(spec, decides_bits(device) | made_with, save_every_s)
                _score_parts(method, read, spec, images_path, manifest, device, columns, timing, saves, memory_mib)
            failed = None
        except NumericalFailure as failure:
            failed, columns = str(failure), {name: [] for name in columns}
    timing |= {
        "peak_memory_mib": peak_memory_mib(device),
        "device": describe(device),
        "threads": spec.threads,
        "failed": failed,
    }
    with whole_file(scores_path) as temporary:
        write_scores(temporary, Scores(spec, columns, failed))
        write_spec(
            scores_path,
            temporary,
            spec,
            failed=failed,
            manifest=manifest["sha256"],
            checkpoint_sha256=checkpoint_sha256,
            joined_sha256=joined_sha256,
            ran=what_ran(device) | {"backends": chosen},
        )
        write_json(sidecar(scores_path, TIMING), timing)
    Saves(spec, {}, save_every_s).drop()
    return failed


def trained_model(path: Path, expected: str, images_path: Path) -> torch.nn.Module:
    """Rebuild a trained model from its checkpoint, in eval mode and with its weights fixed.

    Args:
        path: the checkpoint.
        expected: the digest of its training.
        images_path: the prepared array, for the images' shape.

    Raises:
        NumericalFailure: the training had failed.
        HeldoutError: the checkpoint is damaged or is another training's.
    """
    checkpoint = checkpoints.load(path, expected)
    if checkpoint.failed:
        raise NumericalFailure(f"{checkpoint.spec.model}: {checkpoint.failed}")
    model = training_steps.build(checkpoint.spec, image_shape(images_path))
    checkpoints.restore(model, checkpoint, path)
    return training_steps.ready(model)


def _fitted(
    method: Any,
    spec: ScoreSpec,
    images_path: Path,
    manifest: dict[str, Any],
    weights: Path | None,
    device: torch.device,
    timing: dict[str, Any],
) -> Any:
    """Fit a method to the training images; labels of anomalies only where the spec says so."""
    images = part_of(images_path, manifest, "train").to(device)
    holdout = None
    if spec.supervision:
        holdout = tuple(part_of(images_path, manifest, part).to(device) for part in SCORED_PARTS[:2])
    for name, checksum in spec.weights.items():
        if not has_checksum(weights / name, checksum):
            raise HeldoutError(f"{weights / name} is damaged; delete {weights} and run again")
    began = time.perf_counter()
    fitted = training_steps.fit(method, images, spec.seed, holdout, weights)
    timing["fit_s"] = round(time.perf_counter() - began, 3)
    return fitted


def _score_joined(
    method: Any,
    spec: ScoreSpec,
    paths: list[Path],
    manifest: dict[str, Any],
    columns: dict[str, Any],
    timing: dict[str, Any],
) -> None:
    """Fit a method to the other methods' scores of calibration images, and join those of all images."""
    found = {scores.spec.digest: scores for scores in map(read_scores, paths)}
    components = []
    for join in spec.joins:
        if join.digest not in found:
            raise HeldoutError(f"the scores {join.digest} were planned, but not given; run snakemake again")
        scores = found[join.digest]
        if scores.failed:
            raise NumericalFailure(f"{scores.spec.method}: {scores.failed}")
        if join.column not in scores.columns:
            there = [name for name in scores.columns if name not in ("index", "part")]
            raise unknown(f"of: {scores.spec.method}", "component", join.column, there)
        by_index = dict(zip(scores.columns["index"], scores.columns[join.column], strict=True))
        components.append([by_index[index] for part in SCORED_PARTS for index in manifest[part]])
    rows = torch.tensor(components, dtype=torch.float64).T  # (images, components)
    parts = dict(zip(SCORED_PARTS, rows.split([len(manifest[part]) for part in SCORED_PARTS]), strict=True))
    began = time.perf_counter()
    labelled = parts["labelled_anomalies"] if spec.supervision else None
    fitted = method.fit(parts["calibration"], labelled, spec.seed)
    timing["fit_s"] = round(time.perf_counter() - began, 3)
    began = time.perf_counter()
    columns["score"] = method.score(fitted, rows).tolist()
    wall_s = time.perf_counter() - began
    timing |= {"images": len(rows), "ms_per_image": round(1000 * wall_s / len(rows), 4)}
    columns["index"] = [index for part in SCORED_PARTS for index in manifest[part]]
    columns["part"] = [part for part in SCORED_PARTS for _ in manifest[part]]
    if not all(map(math.isfinite, columns["score"])):
        raise NumericalFailure("a joined score is not finite")


def _score_parts(
    method: Any,
    read: Any,
    spec: ScoreSpec,
    images_path: Path,
    manifest: dict[str, Any],
    device: torch.device,
    columns: dict[str, Any],
    timing: dict[str, Any],
    saves: Saves,
    memory_mib: int | None,
) -> None:
    indices = [index for part in SCORED_PARTS for index in manifest[part]]
    images = torch.cat([part_of(images_path, manifest, part) for part in SCORED_PARTS])
    columns["index"] = indices
    columns["part"] = [part for part in SCORED_PARTS for _ in manifest[part]]

    def score_portion(portion: slice) -> dict[str, torch.Tensor]:
        return training_steps.score(method, read, images[portion].to(device), indices[portion], spec.seed)

    portions = Portions(method.params, memory_mib, device)
    at_once = method.params.block
    chunks = [slice(first, min(first + at_once, len(images))) for first in range(0, len(images), at_once)]
    done = saves.load() or {"results": [], "images": 0, "spent_s": 0.0, "backends": None}
    results = done["results"]
    if results:
        print(f"going on after {len(results)} of {len(chunks)} blocks of images", file=sys.stderr)
    if len(results) == len(chunks):
        for computation, backend in done["backends"].items():
            backends.chose(computation, backend)
    is_warm = len(chunks) == 1
    if is_warm:
        # Untimed, as the first of several is: first calls compile, allocate and load.
        portions.score(score_portion, chunks[0])
    left = chunks[len(results) :]
    with stoppable() as stop:
        for chunk in progress(left, len(chunks), f"{spec.method} {spec.held_out}", done=len(results)):
            began = time.perf_counter()
            results.append(portions.score(score_portion, chunk))
            if done["backends"] not in (None, backends.so_far()):
                print("the blocks before were scored by another backend; starting over", file=sys.stderr)
                saves.drop()
                return _score_parts(
                    method, read, spec, images_path, manifest, device, columns, timing, saves, memory_mib
                )
            done["backends"] = backends.so_far()
            if is_warm or (chunk == chunks[-1] and not done["images"]):
                done["spent_s"] += time.perf_counter() - began
                done["images"] += len(indices[chunk])
            is_warm = True
            if stop.signal or saves.is_due:
                saves.save(done)
            if stop.signal:
                stop.leave(f"{len(results)} of {len(chunks)} blocks of images")
    timing["images"] = done["images"]
    timing["ms_per_image"] = round(1000 * done["spent_s"] / done["images"], 4)
    for name in results[0]:
        values = torch.cat([result[name] for result in results])
        if not values.isfinite().all():
            index = indices[int((~values.isfinite()).nonzero()[0])]
            raise NumericalFailure(f"the {name} of image {index} is not finite")
        columns[name] = values.tolist()
