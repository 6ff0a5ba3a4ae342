"""The table of labels beside a prepared array."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from heldout.storage.files import whole_file

COLUMNS = ("index", "class", "official_test", "source")


@dataclass(frozen=True)
class Labels:
    """The labels of a prepared array, in its order.

    Attributes:
        classes: `(N,)` names of classes.
        official_test: `(N,)` bool, true in the official test part; all false if there is none.
        sources: a hash or key of each image's file; None: splits use the hash of its pixels.
    """

    classes: np.ndarray
    official_test: np.ndarray
    sources: list[str] | None = None


def write_labels(path: Path, labels: Labels) -> None:
    with whole_file(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        sources = labels.sources or [""] * len(labels.classes)
        rows = zip(labels.classes, labels.official_test.astype(int), sources, strict=True)
        writer.writerows((index, *row) for index, row in enumerate(rows))


def read_labels(path: Path) -> Labels:
    """Read a table of labels. Only `split`, `evaluate` and figures read labels; training and scoring do not."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    classes = np.array([row["class"] for row in rows])
    official_test = np.array([row["official_test"] == "1" for row in rows], bool)
    sources = [row["source"] for row in rows]
    return Labels(classes, official_test, sources if any(sources) else None)
