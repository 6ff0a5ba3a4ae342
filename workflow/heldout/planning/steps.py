"""The steps of a plan: each step's output file, its spec, and its input files."""

from dataclasses import dataclass
from pathlib import Path

from heldout.planning.resolve import Entry
from heldout.storage.sidecars import BESIDE, LABELS, SPEC, sidecar
from heldout.storage.specs import PrepareSpec, ScoreSpec, Spec, SplitSpec, TrainSpec


@dataclass(frozen=True)
class External:
    """Files from outside the workflow: the list of fetched files, or a user's own folder of images."""

    path: str

    @property
    def is_made(self) -> bool:
        return Path(self.path).exists()


@dataclass(frozen=True)
class Step:
    """A file that a rule makes.

    Attributes:
        spec: determines the file's content; its digest is in the file's name.
    """

    spec: Spec
    path: str

    @property
    def digest(self) -> str:
        return self.spec.digest

    @property
    def is_made(self) -> bool:
        """Whether the file and all its sidecars exist."""
        return Path(self.path).exists() and all(sidecar(self.path, kind).exists() for kind in BESIDE[self.spec.step])


@dataclass(frozen=True)
class PrepareStep(Step):
    spec: PrepareSpec
    raw: External

    @property
    def labels(self) -> str:
        """The table of labels beside the prepared array."""
        return str(sidecar(self.path, LABELS))

    @property
    def spec_file(self) -> str:
        """The hashes of the prepared array and its labels."""
        return str(sidecar(self.path, SPEC))


@dataclass(frozen=True)
class SplitStep(Step):
    spec: SplitSpec
    images: PrepareStep


@dataclass(frozen=True)
class TrainStep(Step):
    spec: TrainSpec
    images: PrepareStep
    split: SplitStep
    parent: "TrainStep | None"


@dataclass(frozen=True)
class ScoreStep(Step):
    spec: ScoreSpec
    images: PrepareStep
    split: SplitStep
    checkpoint: TrainStep | None
    joined: "tuple[ScoreStep, ...]"
    weights: External | None


@dataclass(frozen=True)
class Run:
    """One held-out class of a dataset and one seed, with its trainings and scorings by entry."""

    dataset: Entry
    held_out: str
    seed: int
    prepared: PrepareStep
    split: SplitStep
    trainings: dict[str, TrainStep]
    scorings: dict[str, ScoreStep]

    @property
    def steps(self) -> list[Step]:
        return [self.prepared, self.split, *self.trainings.values(), *self.scorings.values()]
