"""The records of `results/<experiment>/inputs.json`: the inputs of an experiment's tables and figures.

`planning/inputs_json.py` writes the file.
"""

from dataclasses import dataclass, field

from heldout.storage.specs import Record


@dataclass(frozen=True, kw_only=True)
class MethodEntry(Record):
    """An entry of `methods`.

    Attributes:
        method: the registered method.
        model: the entry of `models` that it reads, if any.
        family: one of `registry.FAMILIES`.
        supervision: the word by which tables say that it uses labelled anomalies; empty if it uses none.
    """

    method: str
    model: str | None
    family: str
    supervision: str


@dataclass(frozen=True, kw_only=True)
class RunFiles(Record):
    """One held-out class and seed, and the paths of its files.

    Attributes:
        checkpoints: by entry of `models`.
        scores: by entry of `methods`.
    """

    dataset: str
    protocol: str
    held_out: str
    seed: int
    images: str
    labels: str
    split: str
    split_digest: str
    checkpoints: dict[str, str]
    scores: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Subject(Record):
    """The subject of one figure.

    Attributes:
        stem: the name of the figure's files, without the ending.
        held_out: the class, or the row of the tables; None: the mean over all classes, or a figure about a model.
        model: the entry of `models`, for a figure that is drawn once per model.
        methods: the entries that the figure shows, for a figure that shows only some.
    """

    stem: str
    dataset: str
    held_out: str | None = None
    model: str | None = None
    methods: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class ReportInputs(Record):
    """An experiment's methods, runs and figures.

    Attributes:
        bootstrap: number of resamples.
        source: the digest of the code behind each table and figure.
        methods: by the names that tables show, the floor first.
        figures: the subjects of each kind of figure.
        results: the paths of all tables and figures.
    """

    experiment: str
    bootstrap: int
    source: dict[str, str]
    methods: dict[str, MethodEntry]
    runs: list[RunFiles]
    figures: dict[str, list[Subject]]
    results: list[str]
