"""A project folder in which some trainings and scorings of an experiment are there, written as the steps write them."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from heldout.planning.plan import Plan
from heldout.planning.resolve import resolve
from heldout.planning.steps import Step
from heldout.storage import checkpoints
from heldout.storage.files import write_json, write_text
from heldout.storage.hashing import file_sha256
from heldout.storage.score_files import Scores, write_scores
from heldout.storage.sealed import write_sealed
from heldout.storage.sidecars import HISTORY, SPEC, TIMING, sidecar, write_spec

EXPERIMENT = {
    "experiment": "quickstart",
    "datasets": {"mnist5k": {}},
    "held_out": [1, 8],
    "test_items": 100,
    "models": {"wgan": {"steps": 10, "width": 4}},
    "methods": {"mean_image": {}, "adgan": {"starts": 2}},
}


def planned(**changes: object) -> Plan:
    return Plan(resolve(EXPERIMENT | changes, where="config.yaml"))


def make(step: Step, failed: str | None = None, wall_s: float = 20.0, ms_per_image: float = 5.0) -> Path:
    """Write a training or a scoring with all that belongs beside it."""
    path = Path(step.path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if step.spec.step == "train":
        checkpoints.write(path, step.spec, {} if failed else {"weight": torch.arange(100.0)}, failed)
        timing = {"wall_s": wall_s, "images_per_s": 9.0, "steps": step.spec.params["steps"]}
        write_text(sidecar(path, HISTORY), "epoch,step\n")
        made = {}
    else:
        write_scores(path, Scores(step.spec, {"index": [0], "part": ["test"], "score": [1.0]}, failed))
        timing = {"fit_s": None, "ms_per_image": ms_per_image, "images": 50}
        made = {"checkpoint_sha256": None}
    write_json(
        sidecar(path, TIMING),
        {**timing, "device": "cpu (toy)", "peak_memory_mib": 9.0, "threads": step.spec.threads, "failed": failed},
    )
    write_spec(path, path, step.spec, failed=failed, **made)
    return path


def retime(step: Step, **changes: object) -> None:
    """Change values of a timing, and its hash in the spec file."""
    timing, beside = sidecar(step.path, TIMING), sidecar(step.path, SPEC)
    write_json(timing, json.loads(timing.read_text()) | changes)
    content = json.loads(beside.read_text())
    write_sealed(beside, content | {"files": content["files"] | {TIMING: file_sha256(timing)}})


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(EXPERIMENT, sort_keys=False))
    return tmp_path
