"""Files damaged between the step that wrote them and the step that reads them: reader x file x damage.

A reader either ends in one line, or writes what it writes from undamaged files.
"""

import contextlib
import io
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from heldout.errors import HeldoutError
from heldout.project import inventory
from heldout.project.cost import cost
from heldout.project.status import status
from heldout.storage.sidecars import HISTORY, LABELS, SPEC, TIMING, sidecar
from tests.faults.finished import Finished, flipped, typed

ONE_LINE, RIGHT = "one line", "the right number"


class Files:
    """The files of the experiment, by names."""

    def __init__(self, finished: Finished) -> None:
        run, folder = finished.run, Path(finished.plan.folder)
        self.paths = {"images": run.prepared.path, "manifest": run.split.path, "inputs": finished.inputs}
        for kind in (LABELS, SPEC):
            self.paths[f"images.{kind}"] = sidecar(run.prepared.path, kind)
        for name, step in (run.trainings | run.scorings).items():
            self.paths[name] = step.path
            for kind in (SPEC, TIMING, HISTORY):
                self.paths[f"{name}.{kind}"] = sidecar(step.path, kind)
        for name in ("metrics.csv", "roc.csv", "histograms.csv", "auroc.md", "runtime.csv"):
            self.paths[name] = folder / "tables" / name
        for form in ("svg", "png"):
            self.paths[f"roc.{form}"] = folder / "figures" / f"roc-cat.{form}"
        for step in ("evaluate", "tables", "figure_roc"):
            (self.paths[f"{step}.record"],) = (folder / "records").glob(f"{step}-*.json")
        self.paths["metrics.json"] = folder / "metrics.json"

    def __getitem__(self, name: str) -> Path:
        return Path(self.paths[name])


def made(step: Callable[[Finished], list[str]], *names: str) -> Callable[[Finished], object]:
    """A reader that runs a command, and returns the content of files."""

    def read(finished: Finished) -> object:
        typed(step(finished))
        return [Path(name.format(folder=finished.plan.folder)).read_bytes() for name in names]

    return read


def step(kind: str, name: str = "") -> Callable[[Finished], object]:
    def read(finished: Finished) -> object:
        found = finished.run.split if kind == "split" else getattr(finished.run, kind)[name]
        typed(finished.command(found))
        return Path(found.path).read_bytes()

    return read


def report(name: str, *written: str) -> Callable[[Finished], object]:
    return made(lambda finished: finished.report(name), *(f"{{folder}}/{each}" for each in written))


def said(words: Callable[[], str]) -> Callable[[Finished], object]:
    """A reader that prints, and names what is damaged without ending."""

    def read(_: Finished) -> object:
        stderr = io.StringIO()
        with contextlib.redirect_stderr(stderr):
            text = words()
        if "damaged" in text or "damaged" in stderr.getvalue():
            raise HeldoutError(stderr.getvalue().strip().splitlines()[0] if stderr.getvalue() else "damaged")
        return text

    return read


SOURCES = ("images", "manifest")
TABLES = ("metrics.csv", "roc.csv", "histograms.csv")
# Each reader, what it reads, and the files among them that are damaged.
READERS: dict[str, tuple[Callable[[Finished], object], tuple[str, ...]]] = {
    "split": (step("split"), ("images", "images.labels.csv", "images.spec.json")),
    "train": (step("trainings", "dcgan"), SOURCES),
    "train on a parent": (step("trainings", "izi_encoder"), (*SOURCES, "dcgan", "dcgan.spec.json")),
    "score by images": (step("scorings", "mean_image"), SOURCES),
    "score by a model": (step("scorings", "discriminator"), (*SOURCES, "dcgan", "dcgan.spec.json")),
    "score by an encoder": (step("scorings", "fanogan"), (*SOURCES, "izi_encoder", "izi_encoder.spec.json")),
    "combine": (
        step("scorings", "both"),
        ("manifest", "discriminator", "discriminator.spec.json", "mean_image", "mean_image.spec.json"),
    ),
    "evaluate": (
        report("evaluate", *(f"tables/{name}" for name in TABLES)),
        (
            "inputs",
            "manifest",
            "images.labels.csv",
            "fanogan",
            "fanogan.spec.json",
            "both",
            "both.spec.json",
            "dcgan.spec.json",
        ),
    ),
    "tables": (
        report("tables", "tables/auroc.csv", "tables/auroc.md", "tables/runtime.csv", "metrics.json"),
        (
            "inputs",
            "manifest",
            "metrics.csv",
            "evaluate.record",
            "dcgan.timing.json",
            "both.timing.json",
            "both.spec.json",
        ),
    ),
    "roc": (
        report("figure_roc", "figures/roc-cat.svg"),
        ("inputs", "metrics.csv", "roc.csv", "evaluate.record"),
    ),
    "histograms": (report("figure_scores", "figures/scores-cat.svg"), ("inputs", "histograms.csv", "evaluate.record")),
    "samples": (
        report("figure_samples", "figures/samples-dcgan.svg"),
        ("inputs", *SOURCES, "dcgan", "dcgan.spec.json"),
    ),
    "gallery": (
        report("figure_gallery", "figures/gallery-cat.svg"),
        ("manifest", "images.labels.csv", "discriminator"),
    ),
    "list of hashes": (
        report("manifest", "manifest.json"),
        (
            "inputs",
            "auroc.md",
            "metrics.json",
            "roc.svg",
            "roc.png",
            "metrics.csv",
            "tables.record",
            "dcgan",
            "both",
        ),
    ),
    "status": (
        # Without sizes: a file that lost its last line break says the same, and is a byte smaller.
        said(lambda: re.sub(r"[0-9.]+[kM]?B", "size", status(inventory.experiments()))),
        ("dcgan.spec.json", "both.spec.json"),
    ),
    "cost": (
        said(lambda: cost(inventory.experiment(Path("config.yaml")))),
        ("dcgan.spec.json", "dcgan.timing.json", "both.timing.json"),
    ),
}

SAYING_WHAT_IS_MISSING = ("status", "cost")

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut in half": lambda content: content[: len(content) // 2],
    "last byte lost": lambda content: content[:-1],
    "a byte more": lambda content: content + b"\0",
    "first bit flipped": lambda content: flipped(content, 0),
    "a bit flipped in the middle": lambda content: flipped(content, len(content) // 2),
    "last byte flipped": lambda content: flipped(content, -1, 0xFF),
    "zeros": lambda content: bytes(len(content)),
    "a block of zeros": lambda content: content[:64] + bytes(min(64, len(content))) + content[128:],
    "noise": lambda content: np.random.default_rng(0).bytes(len(content)),
    "twice": lambda content: content * 2,
    "backwards": lambda content: content[::-1],
    "another digit": lambda content: digits_changed(content),
    "a list": lambda content: b"[]",
    "nothing in it": lambda content: b"{}",
    "null": lambda content: b"null",
    "nested too deep": lambda content: b"[" * 100_000,
    "not a number": lambda content: b'{"sha256": NaN}',
    "a page of HTML": lambda content: b"<!doctype html><title>404</title>",
}


def digits_changed(content: bytes) -> bytes:
    """Every `1` becomes a `2`: a file that is well formed and says something else."""
    return content.replace(b"1", b"2")


def replace(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def outcome(read: Callable[[], object], expected: object) -> str:
    """How a reader ends; anything but one line or the expected result is a failure of the test."""
    try:
        found = read()
    except HeldoutError as error:
        assert str(error) and "\n" not in str(error) and len(str(error)) < 700
        return ONE_LINE
    assert found == expected, "another number"
    return RIGHT


@pytest.fixture(scope="session")
def expectations(original) -> dict[str, object]:
    return {}


# Of each reader, each file that it reads, with each damage and missing.
CASES = [(reader, file) for reader, (_, files) in READERS.items() for file in files]


@pytest.mark.parametrize(("reader", "file"), CASES)
def test_damage_is_one_line_or_changes_nothing(finished, expectations, reader, file):
    read, _ = READERS[reader]
    path = Files(finished)[file]
    content = path.read_bytes()
    if reader not in expectations:
        expectations[reader] = read(finished)
    ends: Counter[str] = Counter()
    for name, damage in DAMAGES.items():
        if (damaged := damage(content)) == content:
            continue
        replace(path, damaged)
        try:
            ends[outcome(lambda: read(finished), expectations[reader])] += 1
        except Exception as error:
            raise AssertionError(f"{reader}, {file}, {name}") from error
        finally:
            replace(path, content)
    if reader not in SAYING_WHAT_IS_MISSING:
        path.unlink()
        ends[outcome(lambda: read(finished), expectations[reader])] += 1
    print(f"{reader}, {file}: {dict(ends)}")


def test_the_table_is_long_enough():
    count = len(CASES) * (len(DAMAGES) + 1)
    print(f"{len(READERS)} readers, {len(CASES)} files that they read, {len(DAMAGES) + 1} damages: {count} faults")
    assert count > 1000
