"""What tests share: images of noise, models and a task on them of two steps, and the mirror of real data, if any."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_limits
from torch import nn

from heldout import registry
from heldout.networks.shape import ImageShape
from heldout.numerics import training_steps
from heldout.planning.plan import Plan
from heldout.planning.resolve import resolve
from heldout.planning.steps import Step
from heldout.search import private_weights
from heldout.search.native import joint_search
from heldout.search.native.compiling import Unavailable, function
from heldout.stages.score import Sources, score
from heldout.stages.split import split
from heldout.stages.train import train
from heldout.storage.hashing import digest, file_sha256
from heldout.storage.labels import Labels, write_labels
from heldout.storage.manifests import read_manifest
from heldout.storage.score_files import read_scores
from heldout.storage.sealed import write_sealed
from heldout.storage.sidecars import LABELS, SPEC, sidecar
from heldout.storage.specs import Parent, ScoreSpec, TrainSpec

REPOSITORY = Path(__file__).resolve().parent.parent

torch.set_num_threads(1)  # the models are small, and pytest runs a process per core
threadpool_limits(1)
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # in the background of a shell, where tests send it all the same
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--quickstart", type=Path, help="folder with the quickstart's results, to compare with its promises"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest, so that no process is left alone with it."""

    def minutes(item: pytest.Item) -> float:
        slow = item.get_closest_marker("slow")
        return slow.kwargs.get("minutes", 1) if slow else 0

    items.sort(key=minutes, reverse=True)


EXPERIMENT = {
    "experiment": "trial",
    "datasets": {"mnist5k": {}},
    "held_out": [3],
    "calibration": 0.25,
    "labelled_anomalies": 9,
    "models": {
        "dcgan": {"steps": 6, "batch": 4, "latent": 8, "width": 4},
        "izi_encoder": {"parent": "dcgan", "steps": 2, "batch": 4, "width": 4},
    },
    "methods": {
        "adgan": {"model": "dcgan", "starts": 2, "steps": 1},
        "anogan": {"steps": 2},
        "discriminator": {"model": "dcgan"},
        "prior": {"model": "dcgan", "starts": 2, "steps": 1},
        "isolation_forest": {},
        "mean_image": {"block": 8},
        "fanogan": {},
        "kde-oracle": {"method": "kde", "pca": "oracle"},
        "both": {"method": "combine", "of": ["discriminator", "mean_image"]},
    },
}


def noise(count: int, channels: int, side: int, seed: int = 0) -> torch.Tensor:
    """Return uint8 images `(count, channels, side, side)`."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, channels, side, side), generator=rng, dtype=torch.uint8)


def train_spec(model: str, seed: int = 0, **params: object) -> TrainSpec:
    """Return the spec of a training of seconds, on no data set in particular; a conditional model has three classes."""
    entry = registry.load("model", model)
    facts, parent = entry.facts, entry.facts["default_model"]
    return TrainSpec(
        dataset="noise",
        protocol="one_class",
        held_out="a",
        model=model,
        params=entry.params(**registry.small("model", model) | params).model_dump(),
        parent=parent and Parent(digest="0" * 12, model=parent, params=registry.small("model", parent)),
        normal_classes=3 if facts["conditional"] else None,
        split="0" * 12,
        seed=seed,
        precision="float32",
        threads=1,
        source="0" * 12,
    )


def score_spec(method: str, seed: int = 0, held_out: str = "a", **params: object) -> ScoreSpec:
    """Return the spec of a scoring on no data set in particular."""
    return ScoreSpec(
        dataset="noise",
        protocol="one_class",
        held_out=held_out,
        method=method,
        params=params,
        split="0" * 12,
        checkpoint=None,
        joins=(),
        supervision="",
        weights={},
        seed=seed,
        threads=1,
        source="0" * 12,
    )


def fresh(name: str, image: ImageShape, seed: int = 0, **params: object) -> tuple[nn.Module, TrainSpec]:
    """Return a model before its training, and its spec; a parent, if it has one, is trained."""
    spec = train_spec(name, seed, **params)
    model = training_steps.build(spec, image)
    if spec.parent:
        model.parent.load_state_dict(trained(spec.parent.model, image).state_dict())
    return model, spec


def trained(name: str, image: ImageShape, seed: int = 0, **params: object) -> nn.Module:
    """Return a model after a training of seconds on noise, in training mode; its parent, if any, is trained first."""
    _, spec = fresh(name, image, seed, **params)
    images = noise(20, image.channels, image.side)
    classes = torch.arange(20) % 3 if spec.normal_classes else None
    training = training_steps.Training(lambda: fresh(name, image, seed, **params)[0], images, spec, classes)
    for _ in training:
        pass
    return training.model


@pytest.fixture
def task(tmp_path, monkeypatch, request):
    """A planned run on 100 images of noise instead of mnist5k's, split but not trained; grey ones, 16 pixels wide."""
    monkeypatch.chdir(tmp_path)
    plan = Plan(resolve(EXPERIMENT, where="trial.yaml"))
    run = plan.runs[0]
    images = noise(100, *getattr(request, "param", (1, 16))).numpy()
    for path in (run.prepared.path, run.split.path):
        (tmp_path / path).parent.mkdir(parents=True)
    np.save(run.prepared.path, images)
    digits = np.array(list("0123456789") * 10)
    write_labels(tmp_path / run.prepared.labels, Labels(digits, np.zeros(100, bool)))
    record(run.prepared.path, run.prepared.spec.content, {LABELS: run.prepared.labels})
    split(run.split.spec, run.prepared.path, run.prepared.labels, tmp_path / run.split.path)
    training = run.trainings["dcgan"]

    def trained(device="cpu", name="dcgan", **options):
        step = run.trainings[name]
        parent = tmp_path / training.path if name != "dcgan" else None
        return train(step.spec, run.prepared.path, run.split.path, tmp_path / step.path, device, parent, **options)

    def scored(name, checkpoint=None, device="cpu", **options):
        step = run.scorings[name]
        read = tmp_path / (checkpoint or step.checkpoint.path) if step.spec.checkpoint else None
        sources = Sources(read, [tmp_path / other.path for other in step.joined])
        failed = score(step.spec, run.prepared.path, run.split.path, sources, tmp_path / step.path, device, **options)
        return failed, read_scores(tmp_path / step.path)

    manifest = read_manifest(tmp_path / run.split.path, run.split.digest)
    checkpoint = tmp_path / training.path
    return SimpleNamespace(
        run=run, training=training, checkpoint=checkpoint, train=trained, score=scored, split=manifest
    )


def record(path: Path | str, content: dict | None = None, files: dict[str, Path | str] | None = None, **facts) -> None:
    """Write the spec file beside a file that a test has made.

    Args:
        path: the file.
        content: of its spec.
        files: what else belongs beside it, by kind.
        facts: what was read, and whether it failed.
    """
    hashes = {"sha256": file_sha256(path), "files": {kind: file_sha256(other) for kind, other in (files or {}).items()}}
    write_sealed(sidecar(path, SPEC), {"digest": digest(content or {}), "spec": content or {}, **hashes, **facts})


def respecify(steps: dict[str, Step], name: str, **changes: object) -> None:
    """Change the spec of a planned step, but not its file's name."""
    steps[name] = replace(steps[name], spec=replace(steps[name].spec, **changes))


@pytest.fixture
def compiler() -> None:
    """A test that runs native code is skipped where none can be compiled."""
    try:
        function(joint_search.SOURCE, joint_search.KERNEL)
    except Unavailable as reason:
        pytest.skip(f"no native code: {reason}")


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What torch.compile would compile runs as it is written: the same operations, without the minute."""
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    private_weights._compiled.cache_clear()
    private_weights._why_not_compiled.cache_clear()
    yield
    private_weights._compiled.cache_clear()
    private_weights._why_not_compiled.cache_clear()


def prepared(backend: str, request: pytest.FixtureRequest) -> str:
    """Return a backend of the joint search, with what a test of it needs."""
    needed = {"native": "compiler", "compiled": "uncompiled"}
    if backend in needed:
        request.getfixturevalue(needed[backend])
    return backend


@pytest.fixture(params=["torch", "native", "compiled"])
def backend(request: pytest.FixtureRequest) -> str:
    """Each way to do a joint search."""
    return prepared(request.param, request)


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The folder named by HELDOUT_MIRROR: real datasets, laid out as the workflow expects them."""
    folder = os.environ.get("HELDOUT_MIRROR", "")
    if not Path(folder or "/nowhere").is_dir():
        pytest.skip("HELDOUT_MIRROR names no folder with the official files")
    return Path(folder)
