"""Specs: for each step, the values that determine the content of its file; their digest is in the file's name.

A spec is stored as JSON in the command that makes the file (`--spec`), in checkpoints and score files, and beside them.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from typing import Any, ClassVar, Literal, Self

from pydantic import ConfigDict, TypeAdapter, ValidationError

from heldout.errors import HeldoutError
from heldout.storage.hashing import canonical, digest


class Record:
    """A dataclass that is read from JSON; unknown keys are errors."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a record from its JSON text.

        Raises:
            HeldoutError: the text is not JSON, or a key is missing or unknown, or a value has the wrong type.
        """
        return cls._read(lambda adapter: adapter.validate_json(text))

    @classmethod
    def of(cls, content: Any) -> Self:
        """Read a record from its JSON value; raises as `parse` does."""
        return cls._read(lambda adapter: adapter.validate_python(content))

    @classmethod
    def _read(cls, read: Callable[[TypeAdapter[Any]], Self]) -> Self:
        kind: Any = cls
        try:
            return read(_adapter(kind))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise HeldoutError(f"{cls.__name__}{place and f', {place}'}: {first['msg']}") from error


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


class _Spec(Record):
    @property
    def content(self) -> dict[str, Any]:
        """The spec as a JSON value."""
        return asdict(self)  # type: ignore[call-overload]  # each kind of spec is a dataclass

    @property
    def canonical(self) -> str:
        """The spec as canonical JSON."""
        return canonical(self.content)

    @cached_property
    def digest(self) -> str:
        """The 12 hex digits in the file's name."""
        return digest(self.content)


@dataclass(frozen=True, kw_only=True)
class PrepareSpec(_Spec):
    """A prepared array and its labels.

    Attributes:
        options: of the dataset, without the path of its folder.
        files: official file names with their published checksums.
        source: in every spec, the digest of the code that determines the file's content.
    """

    step: Literal["prepare"] = "prepare"
    dataset: str
    options: dict[str, Any]
    files: dict[str, str]
    source: str


@dataclass(frozen=True, kw_only=True)
class SplitSpec(_Spec):
    """A split manifest.

    Attributes:
        classes: all classes of the dataset.
        normal: the normal classes.
        prepared: the digest of the prepared array.
        variant, ..., drop_duplicates: as `SplitSettings` describes them.
    """

    step: Literal["split"] = "split"
    dataset: str
    protocol: str
    held_out: str
    classes: list[str]
    normal: list[str]
    prepared: str
    variant: str
    split_seed: int
    train_items: int | None
    test_items: int | None
    calibration: float
    contamination: float
    labelled_anomalies: int
    drop_duplicates: bool
    source: str


@dataclass(frozen=True, kw_only=True)
class Parent(Record):
    """The training of the model on which another model is trained."""

    digest: str
    model: str
    params: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class TrainSpec(_Spec):
    """A checkpoint.

    Attributes:
        params: all parameters of the model.
        parent: the training of the parent model; None: the model has no parent.
        split: the digest of the split.
        seed: of the run.
        threads: CPU threads, which affect the last bits.
        normal_classes: the number of normal classes, for a conditional model; None: it is not conditional.
    """

    step: Literal["train"] = "train"
    dataset: str
    protocol: str
    held_out: str
    model: str
    params: dict[str, Any]
    parent: Parent | None
    normal_classes: int | None
    split: str
    seed: int
    precision: str
    threads: int
    source: str


@dataclass(frozen=True, kw_only=True)
class Join(Record):
    """A column of another scoring, by that scoring's digest."""

    digest: str
    column: str


@dataclass(frozen=True, kw_only=True)
class ScoreSpec(_Spec):
    """A score file.

    Attributes:
        params: all parameters of the method.
        split, seed, threads: as in a `TrainSpec`.
        checkpoint: the digest of the training whose model it reads; None: it reads no model.
        joins: the scores that it combines; empty: it scores images.
        supervision: the word by which tables say that it uses labelled anomalies; empty: it uses none.
        weights: file names of published weights with their checksums; empty: it needs none.
    """

    step: Literal["score"] = "score"
    dataset: str
    protocol: str
    held_out: str
    method: str
    params: dict[str, Any]
    split: str
    checkpoint: str | None
    joins: tuple[Join, ...]
    supervision: str
    weights: dict[str, str]
    seed: int
    threads: int
    source: str


Spec = PrepareSpec | SplitSpec | TrainSpec | ScoreSpec
