"""Images with their labels: as a dataset's file reads them, and the labels' table beside the prepared array."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from heldout.files import whole_file

COLUMNS = ("index", "class", "official_test")


@dataclass(frozen=True)
class LabelledImages:
    """All images of a dataset.

    Attributes:
        images: uint8 `(N, C, H, W)`.
        labels: `(N,)` integers, the class's number.
        official_test: `(N,)` bool, true in the official test part; all false where there is none.
    """

    images: np.ndarray
    labels: np.ndarray
    official_test: np.ndarray


@dataclass(frozen=True)
class Labels:
    """The labels of a prepared array: `classes` `(N,)` slugs, and `official_test` `(N,)` bool."""

    classes: np.ndarray
    official_test: np.ndarray


def write_labels(path: Path, source: LabelledImages, classes: list[str]) -> None:
    with whole_file(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for index, (label, official_test) in enumerate(zip(source.labels, source.official_test, strict=True)):
            writer.writerow((index, classes[label], int(official_test)))


def read_labels(path: Path) -> Labels:
    """Read what `write_labels` wrote. Only `split`, `evaluate` and figures may: none reaches training or scoring."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return Labels(
        np.array([row["class"] for row in rows]), np.array([row["official_test"] == "1" for row in rows], bool)
    )
