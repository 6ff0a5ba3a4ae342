"""Which experiments there are, which files they name, and which files lie here; a file is known by its digest."""

import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

from heldout.config import read
from heldout.errors import HeldoutError
from heldout.plan import Plan
from heldout.sidecars import SPEC, sidecar

QUICKSTART = "config.yaml"
EXPERIMENTS = "workflow/experiments"
# Where each step's files lie, and how its own file ends; the others stand beside it.
PLACES = {
    "prepare": ("data/prepared", ".npy"),
    "split": ("data/splits", ".json"),
    "train": ("results/checkpoints", ".safetensors"),
    "score": ("results/scores", ".parquet"),
}
LOGGED = ("results/logs", "results/benchmarks")
DIGEST_IN_NAME = re.compile(r"-([0-9a-f]{12})\.")


@dataclass(frozen=True)
class Experiment:
    """An experiment file and its plan."""

    path: Path
    plan: Plan


@dataclass(frozen=True)
class Stored:
    """Everything that lies here under one digest.

    Attributes:
        step: `prepare`, `split`, `train` or `score`; None where only a log is left.
        own: the step's own file; it may be missing while others are there.
        files: all of it: the file, what stands beside it, its log and benchmark.
    """

    step: str | None
    own: Path
    files: tuple[Path, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(path.stat().st_size for path in self.files)

    @property
    def name(self) -> str:
        """The registered dataset, model or method; for a split, its seed."""
        return self.own.name.partition("-")[0]

    @property
    def failed(self) -> str | None:
        return recorded_failure(self.own)


def experiments(given: Iterable[Path] = ()) -> list[Experiment]:
    """Return the experiments of this folder: config.yaml, the published ones, others at the top, and the given ones.

    Raises:
        HeldoutError: a file is none, or has a mistake: what it names is unknown then, and so is what may go.
    """
    if not Path(QUICKSTART).is_file():
        raise HeldoutError(f"no {QUICKSTART} here; run this in the project's folder")
    published = sorted(Path(EXPERIMENTS).glob("*.yaml"))
    others = [path for path in sorted(Path().glob("*.y*ml")) if _is_experiment(path)]
    paths = dict.fromkeys([Path(QUICKSTART), *published, *others, *(Path(os.path.relpath(path)) for path in given)])
    return [_experiment(path) for path in paths]


def unfinished() -> int:
    """Return how many trainings and scorings of config.yaml are missing."""
    return sum(not step.is_made for step in _experiment(Path(QUICKSTART)).plan.trained_and_scored)


def named_digests(found: list[Experiment]) -> set[str]:
    """Return the digests that an experiment file names, or the record of a finished or begun experiment."""
    named = {digest for experiment in found for digest in experiment.plan.steps}
    for record in (*Path("results").glob("*/manifest.json"), *Path("results").glob("*/inputs.json")):
        named |= set(DIGEST_IN_NAME.findall(record.read_text(encoding="utf-8")))
    return named


def stored() -> dict[str, Stored]:
    """Return what lies here, by digest."""
    files: dict[str, list[Path]] = {}
    for folder in (*(folder for folder, _ in PLACES.values()), *LOGGED):
        for path in sorted(Path(folder).rglob("*")):
            digest = DIGEST_IN_NAME.search(path.name)
            if digest and path.is_file():
                files.setdefault(digest[1], []).append(path)
    return {digest: _stored(paths) for digest, paths in files.items()}


def recorded_failure(path: Path | str) -> str | None:
    """Return why a training or scoring failed, by the spec beside its file; None if it did not, or is not there."""
    try:
        return json.loads(sidecar(path, SPEC).read_text(encoding="utf-8"))["failed"]
    except (OSError, ValueError, KeyError):
        return None


def readable(size: int) -> str:
    """Return bytes as people read them: `4.20kB`."""
    return tqdm.format_sizeof(size, "B")


def _stored(paths: list[Path]) -> Stored:
    for step, (folder, ending) in PLACES.items():
        for path in paths:
            if path.is_relative_to(folder):
                stem = path.name[: DIGEST_IN_NAME.search(path.name).end() - 1]
                return Stored(step, path.with_name(stem + ending), tuple(paths))
    return Stored(None, paths[0], tuple(paths))


def _experiment(path: Path) -> Experiment:
    return Experiment(path, Plan(read(_mapping(path), where=str(path))))


def _is_experiment(path: Path) -> bool:
    try:
        content = _mapping(path)
    except HeldoutError:
        return False  # some other tool's file
    return {"experiment", "datasets", "methods"} <= content.keys()


def _mapping(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise HeldoutError(f"{path} cannot be read as an experiment ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise HeldoutError(f"{path} is no experiment: keys and values are wanted, as in {QUICKSTART}")
    return content
