"""While it runs: every function that a job enters is covered by the digest of what it writes, or shapes no number."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import CO_OPTIMIZED
from pathlib import Path

import pytest

from heldout import registry
from heldout.planning import identity
from heldout.planning.definitions import Definition
from heldout.planning.identity import PACKAGE
from heldout.planning.plan import Plan
from heldout.planning.resolve import resolve
from heldout.planning.written import reached
from heldout.stages.fetch import fetch
from heldout.stages.prepare import prepare
from heldout.stages.score import Sources, score
from heldout.stages.split import split
from heldout.stages.train import train

# What is entered and shapes no number, and why: whole modules, or single definitions of modules that also compute.
UNNUMBERED = {
    "planning.digest_cache": "finds the source, to compare it with the planned one",
    "planning.definitions": "finds the source, to compare it with the planned one",
    "planning.identity": "finds the source, to compare it with the planned one",
    "planning.origin": "which package runs, for the record",
    "planning.written": "finds the source, to compare it with the planned one",
    "search.native.compiling:processor": "which processor it is, for the record",
    "stages.device": "which device is free; a test compares devices",
    "stages.fetch": "checks what was fetched",
    "stages.history": "watches a training",
    "stages.memory": "how many images are held at a time; tests hold the scores to be the same",
    "stages.progress": "the progress bar",
    "stages.record": "versions and times, for the record",
    "stages.resume": "saves and restores unfinished work; tests hold the results to be the same",
    "stages.samples": "images that watch a training",
    "stages.score": "the loop around what is covered; an image's score depends on its pixels and its index alone",
    "stages.train": "the loop around what is covered",
    "storage.checkpoints": "reads back what was written",
    "storage.files": "writes files whole",
    "storage.hashing": "hashes of files",
    "storage.manifests": "reads back what was written",
    "storage.sidecars": "what lies beside a file",
    "storage.specs": "what a file was planned with, its digest included",
    "storage.timings": "how long it took",
}


@contextmanager
def entered() -> Iterator[set[Definition]]:
    """Give the definitions whose functions are entered, as far as they are the package's."""
    codes, found = set(), set()

    def note(frame, event, _):
        if event == "call" and frame.f_code.co_flags & CO_OPTIMIZED:  # which neither a module is nor a class's body
            codes.add(frame.f_code)

    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(None)
        for code in codes:
            path = Path(code.co_filename)
            if path.is_relative_to(PACKAGE.folder) and path.suffix == ".py":
                found.add(definition_at(path, code.co_firstlineno))


def definition_at(path: Path, line: int) -> Definition:
    words = (PACKAGE.top, *path.relative_to(PACKAGE.folder).with_suffix("").parts)
    module = PACKAGE.module(".".join(words).removesuffix(".__init__"))
    for found in module.bound.values():
        for statement in getattr(found, "statements", ()):
            first = min(node.lineno for node in (statement, *getattr(statement, "decorator_list", ())))
            if first <= line <= statement.end_lineno:
                return found
    raise AssertionError(f"{path}:{line} lies in no definition")


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    """A plan with every model, method and combination, and noise in place of its images."""
    models = {name: registry.small("model", name) | {"trim": 0.25, "refit": 0.25} for name in registry.names("model")}
    methods = {name: registry.small("method", name) for name in registry.names("method")}
    combine = {"method": "combine", "of": ["mean_image", "discriminator"]}
    methods |= {
        f"combine-{name}": registry.small("combination", name) | combine | {"by": name}
        for name in registry.names("combination")
    }
    experiment = {
        "experiment": "every",
        "datasets": {"mnist5k": {}},
        "protocol": "leave_one_out",
        "held_out": [3],
        "calibration": 0.002,
        "labelled_anomalies": 4,
        "train_items": 50,
        "test_items": 4,
        "models": models,
        "methods": methods,
        "figures": [],
    }
    folder = tmp_path_factory.mktemp("every")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield Plan(resolve(experiment, "every.yaml"))


def test_every_function_that_a_job_enters_is_covered_or_shapes_no_number(every):
    run, missed = every.runs[0], {}
    images, labels, manifest = Path(run.prepared.path), Path(run.prepared.labels), Path(run.split.path)

    @contextmanager
    def covered(step, plugin="", *further):
        with entered() as found:
            yield
        sources = [(step, plugin), *(("train", training.model) for training in further if training)]
        counted = {definition for source in sources for definition in reached(identity.roots(*source))}
        for definition in found - counted:
            if not definition.is_marked and not reviewed(definition):
                missed.setdefault(repr(definition), f"{step} {plugin}")

    fetch("mnist5k", Path(run.prepared.raw.path).parent, None)
    with covered("prepare", "mnist5k"):
        prepare(run.prepared.spec, Path(run.prepared.raw.path).parent, images, labels)
    with covered("split"):
        split(run.split.spec, images, labels, manifest)
    for step in sorted(run.trainings.values(), key=lambda step: step.parent is not None):
        with covered("train", step.spec.model, step.spec.parent):
            train(step.spec, images, manifest, Path(step.path), "cpu", step.parent and Path(step.parent.path))
    for step in sorted(run.scorings.values(), key=lambda step: len(step.joined)):
        trained = step.checkpoint and step.checkpoint.spec  # its digest is in the scoring's spec
        sources = Sources(trained and Path(step.checkpoint.path), [Path(other.path) for other in step.joined])
        made_by = ("combine", step.spec.params["by"]) if step.joined else ("score", step.spec.method)
        with covered(*made_by, trained, trained and trained.parent):
            assert score(step.spec, images, manifest, sources, Path(step.path), "cpu") is None
    assert not missed


def reviewed(definition: Definition) -> bool:
    return not {definition.module.name, repr(definition)}.isdisjoint(f"heldout.{name}" for name in UNNUMBERED)
