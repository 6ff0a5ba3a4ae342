"""The experiments of this folder, the files they name, and the files that are here; digests identify files."""

import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from heldout.errors import HeldoutError, NotThere
from heldout.planning import experiment_file
from heldout.planning.experiment_file import QUICKSTART
from heldout.planning.kept_experiment import KEPT
from heldout.planning.plan import Plan
from heldout.planning.resolve import resolve
from heldout.planning.resources import require_possible
from heldout.storage.files import SCRATCH
from heldout.storage.sealed import SEAL, parsed, without_seal
from heldout.storage.sidecars import BESIDE, read_spec

EXPERIMENTS = "workflow/experiments"
# The folder of each step's files, and the ending of its own file; its other files are beside that one.
PLACES = {
    "prepare": ("data/prepared", ".npy"),
    "split": ("data/splits", ".json"),
    "train": ("results/checkpoints", ".safetensors"),
    "score": ("results/scores", ".parquet"),
}
# Logs, benchmarks, and saved states of unfinished trainings and scorings.
OTHERS = (("results/logs", ".log"), ("results/benchmarks", ".tsv"), (f"results/{SCRATCH}/saves", ".pt"))
DIGEST_IN_NAME = re.compile(r"-([0-9a-f]{12})\.")
_KEYS = re.compile(r"^(experiment|datasets|methods|models|held_out) *:", re.MULTILINE)


@dataclass(frozen=True)
class Experiment:
    """An experiment file and its plan."""

    path: Path
    plan: Plan


@dataclass(frozen=True)
class Stored:
    """A step's file, with a digest in its name, and the files beside it.

    Attributes:
        digest: the 12 hex digits in the name.
        step: `prepare`, `split`, `train` or `score`; None for a log, a benchmark or a saved state.
        own: the step's own file; it may be missing although others are here.
        files: all files that are here.
    """

    digest: str
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


def require_project() -> None:
    """Raise HeldoutError outside the project's folder."""
    if not Path(QUICKSTART).is_file():
        raise HeldoutError(f"no {QUICKSTART} here; run this in the project's folder")


def experiments(given: Iterable[Path] = ()) -> list[Experiment]:
    """Return the experiments of this folder: config.yaml, the published ones, others at the top, and the given ones.

    A published experiment whose image folder is missing is left out, with a line on stderr. If it ran before the folder
    was removed, `named_digests` still finds its files through its inputs.json or manifest.json.

    Raises:
        HeldoutError: an experiment file has a mistake, so its results are unknown.
    """
    require_project()
    published = sorted(Path(EXPERIMENTS).glob("*.yaml"))
    others = [path for path in sorted(Path().glob("*.y*ml")) if path.is_file() and _has_keys(path)]
    paths = dict.fromkeys([Path(QUICKSTART), *published, *others, *(Path(os.path.relpath(path)) for path in given)])
    found, left_out = [], []
    for path in paths:
        try:
            found.append(_experiment(path))
        except NotThere:
            if path not in published:
                raise
            left_out.append(path.name)
    if left_out:
        print(f"left out because their image folders are missing: {', '.join(left_out)}", file=sys.stderr)
    return found


def with_results(found: list[Experiment]) -> list[Experiment]:
    """Return config.yaml and the experiments with a folder of results, also those whose own file is elsewhere.

    The latter are planned from the experiment that is kept beside their results. A line on stderr names one that this
    version of heldout does not accept.
    """
    shown = [each for each in found if each.path == Path(QUICKSTART) or Path(each.plan.folder).is_dir()]
    names = {each.plan.settings.experiment for each in found}
    for path in sorted(Path("results").glob(f"*/{KEPT}")):
        if path.parent.name not in names:
            try:
                shown.append(_experiment(path, without_folders=True))
            except HeldoutError as error:
                print(error, file=sys.stderr)
    return shown


def experiment(path: Path) -> Experiment:
    """Return one experiment, planned even if its image folders are missing.

    Raises:
        HeldoutError: it cannot be read, or has a mistake.
    """
    require_project()
    return _experiment(path, without_folders=True)


def unfinished() -> int:
    """Return the number of missing trainings and scorings of config.yaml."""
    return sum(not step.is_made for step in _experiment(Path(QUICKSTART)).plan.trained_and_scored)


def named_digests(found: list[Experiment]) -> set[str]:
    """Return the digests in experiment files, and in those that experiments that ran have kept beside their results.

    Raises:
        HeldoutError: an `inputs.json` or `manifest.json` is damaged, so the files that it names are unknown.
    """
    named = {digest for experiment in with_results(found) + found for digest in experiment.plan.steps}
    for record in (*Path("results").glob("*/manifest.json"), *Path("results").glob("*/inputs.json")):
        text, remedy = record.read_bytes(), "run its experiment again"
        content = parsed(text, record, remedy)
        if SEAL in content:
            without_seal(content, record, remedy)
        named |= set(DIGEST_IN_NAME.findall(text.decode()))
    return named


def stored() -> list[Stored]:
    """Return all files with a digest that are here, by path."""
    found = []
    for step, (folder, ending) in PLACES.items():
        groups: dict[Path, list[Path]] = {}
        for path, digest in _with_digest(folder, (ending, *(f".{kind}" for kind in BESIDE[step]))):
            groups.setdefault(path.with_name(path.name[: digest.end() - 1] + ending), []).append(path)
        found += [Stored(_digest(own), step, own, tuple(files)) for own, files in groups.items()]
    logs = (path for folder, ending in OTHERS for path, _ in _with_digest(folder, (ending,)))
    return found + [Stored(_digest(path), None, path, (path,)) for path in logs]


def recorded_failure(path: Path | str) -> str | None:
    """Return the reason of a failure from the spec beside a checkpoint or score; None: no failure, or no file."""
    try:
        return read_spec(path).failed
    except NotThere:
        return None


def _has_keys(path: Path) -> bool:
    """Whether a file has keys of an experiment; another program's file may be large, or in another encoding."""
    with open(path, "rb") as file:
        return bool(_KEYS.search(file.read(experiment_file.LARGEST_FILE).decode("utf-8", errors="replace")))


def _with_digest(folder: str, endings: tuple[str, ...]) -> list[tuple[Path, re.Match]]:
    """Return the files with a digest and one of the endings right after it; others are a user's."""
    paths = ((path, DIGEST_IN_NAME.search(path.name)) for path in sorted(Path(folder).rglob("*")) if path.is_file())
    return [(path, digest) for path, digest in paths if digest and path.name[digest.end() - 1 :] in endings]


def _digest(path: Path) -> str:
    return DIGEST_IN_NAME.search(path.name)[1]


def _experiment(path: Path, without_folders: bool = False) -> Experiment:
    plan = Plan(resolve(experiment_file.load(path), where=str(path)), without_folders=without_folders)
    require_possible(plan)
    return Experiment(path, plan)
