"""Every byte of a small file flipped in turn: each reader gives the undamaged content, or one line."""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from heldout.errors import HeldoutError
from heldout.evaluation.inputs import Inputs
from heldout.planning.inputs_json import write as planned_report
from heldout.stages.resume import Saves
from heldout.storage import checkpoints, report_records
from heldout.storage.labels import check_labels, read_labels
from heldout.storage.manifests import PARTS, read_manifest
from heldout.storage.prepared import part_of
from heldout.storage.score_files import read_scores
from heldout.storage.sidecars import HISTORY, LABELS, SPEC, TIMING, read_beside, read_own, read_spec, sidecar
from heldout.storage.timings import ScoreTiming, TrainTiming
from tests.conftest import record, train_spec
from tests.faults.finished import flipped

MASKS = (0x01, 0x20, 0xFF)  # one bit; another case, or a space; every bit


def flips(path: Path, read: Callable[[], object], step: int = 1) -> Counter[str]:
    """Flip each byte of a file in turn, and count how the reader ends; the file is whole again at the end."""
    content, expected = path.read_bytes(), read()
    ends: Counter[str] = Counter()
    with open(path, "r+b") as file:
        for at in range(0, len(content), step):
            file.seek(at)
            file.write(flipped(content[at : at + 1], 0, MASKS[at % len(MASKS)]))
            file.flush()
            try:
                assert read() == expected, f"byte {at} of {path}: another content"
                ends["undamaged content"] += 1
            except HeldoutError as error:
                assert "\n" not in str(error) and str(error)
                ends["one line"] += 1
            file.seek(at)
            file.write(content[at : at + 1])
            file.flush()
    assert read() == expected
    return ends


@pytest.fixture
def readers(finished) -> dict[str, tuple[Path, Callable[[], object]]]:
    """Each small file, and what reads it."""
    run, plan = finished.run, finished.plan
    training, scoring = run.trainings["dcgan"], run.scorings["discriminator"]
    manifest = read_manifest(Path(run.split.path), run.split.digest)
    folder, images, labels = Path(plan.folder), Path(run.prepared.path), Path(run.prepared.labels)

    def table(name: str) -> Callable[[], object]:
        return lambda: Inputs.read(finished.inputs).table(name).to_csv()

    def checked_labels() -> list[str]:
        check_labels(manifest, labels)
        return read_labels(labels).classes.tolist()

    failed = Path("failed.safetensors")
    checkpoints.write(failed, training.spec, {}, "the loss is nan")
    record(failed, training.spec.content)
    (evaluated,) = report_records.paths(folder, "evaluate")
    return {
        "spec of a checkpoint": (sidecar(training.path, SPEC), lambda: asdict(read_spec(training.path))),
        "spec of a score": (sidecar(scoring.path, SPEC), lambda: asdict(read_spec(scoring.path))),
        "spec of images": (sidecar(images, SPEC), lambda: asdict(read_spec(images))),
        "timing of a training": (sidecar(training.path, TIMING), lambda: TrainTiming.beside(training.path)),
        "timing of a scoring": (sidecar(scoring.path, TIMING), lambda: ScoreTiming.beside(scoring.path)),
        "history": (sidecar(training.path, HISTORY), lambda: read_beside(training.path, HISTORY)),
        "score file": (Path(scoring.path), lambda: read_scores(Path(scoring.path)).columns),
        "failed checkpoint": (failed, lambda: checkpoints.load(failed, training.digest).failed),
        "split": (Path(run.split.path), lambda: asdict(read_manifest(Path(run.split.path), run.split.digest))),
        "labels after the split": (labels, checked_labels),
        "labels before the split": (labels, lambda: read_beside(images, LABELS)),
        "inputs.json": (finished.inputs, lambda: asdict(Inputs.read(finished.inputs).content)),
        "record of a step": (evaluated, lambda: asdict(report_records.read(evaluated))),
        "metrics.csv": (folder / "tables" / "metrics.csv", table("metrics.csv")),
        "histograms.csv": (folder / "tables" / "histograms.csv", table("histograms.csv")),
        "manifest.json": (
            folder / "manifest.json",
            lambda: Inputs.read(finished.inputs).result(folder / "manifest.json"),
        ),
        "auroc.md": (
            folder / "tables" / "auroc.md",
            lambda: Inputs.read(finished.inputs).result(folder / "tables" / "auroc.md"),
        ),
    }


NAMES = (
    *("spec of a checkpoint", "spec of a score", "spec of images", "timing of a training", "timing of a scoring"),
    *("history", "score file", "failed checkpoint", "split", "labels after the split", "labels before the split"),
    *("inputs.json", "record of a step", "metrics.csv", "histograms.csv", "manifest.json", "auroc.md"),
)


@pytest.mark.parametrize("name", NAMES)
def test_every_flipped_byte_is_one_line_or_changes_nothing(readers, name):
    assert set(readers) == set(NAMES)
    path, read = readers[name]
    ends = flips(path, read)
    print(f"{name}: {sum(ends.values())} bytes, {dict(ends)}")
    assert ends["one line"] > 0.9 * sum(ends.values())


def test_flipped_bytes_of_a_larger_checkpoint_and_of_images(finished):
    run = finished.run
    training, images = run.trainings["dcgan"], Path(run.prepared.path)
    manifest = read_manifest(Path(run.split.path), run.split.digest)
    known = sorted(index for part in PARTS for index in manifest.part(part))
    ends = flips(Path(training.path), lambda: len(read_own(Path(training.path))), step=23)
    print(f"checkpoint: {dict(ends)}")
    assert ends.keys() == {"one line"}
    ends = flips(images, lambda: [part_of(images, manifest, part).tolist() for part in PARTS], step=97)
    print(f"images: {dict(ends)}")  # those of no part may be damaged
    assert ends["one line"] >= 0.9 * sum(ends.values()) * len(known) / len(np.load(images))


def test_every_flipped_byte_of_a_saved_state_is_a_fresh_start(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "fsync", lambda _: None)
    saves = Saves(train_spec("dcgan"), {}, every_s=1)
    saves.save({"weights": torch.arange(3.0)})
    content = saves.path.read_bytes()
    for at in range(len(content)):
        saves.path.write_bytes(flipped(content, at, MASKS[at % len(MASKS)]))
        assert saves.load() is None
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(content) and all("it is damaged" in line for line in lines)
    print(f"saved state: {len(content)} bytes, each a fresh start in one line")
    saves.path.write_bytes(content)
    assert saves.load()["weights"].tolist() == [0, 1, 2]


def test_a_damaged_cache_of_hashes_is_made_again(finished):
    """Of the images of a user's folder, and of the list of inputs: planning comes to the same plan."""
    expected = planned_report(finished.plan)
    kept = list(Path("data/.resume").glob("md5-*.json"))
    kept += [Path(expected.inputs), Path(expected.record)]
    for path in kept:
        content = path.read_bytes()
        for at in range(0, len(content), 37):
            path.write_bytes(flipped(content, at))
            assert type(finished)().run.prepared.path == finished.run.prepared.path
            assert planned_report(finished.plan) == expected
        path.write_bytes(content)
