"""Images with their labels: as a dataset's file reads them, and the labels' table beside the prepared array."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from heldout.storage.files import whole_file

COLUMNS = ("index", "class", "official_test", "source")


@dataclass(frozen=True)
class LabelledImages:
    """All images of a dataset.

    Attributes:
        images: uint8 `(N, C, H, W)`.
        labels: `(N,)` integers, the class's number.
        official_test: `(N,)` bool, true in the official test part; all false where there is none.
        sources: what each image was decoded from, as a hash or a key; None where that is the pixels themselves. Splits
            draw by it, since another version of a decoder gives other pixels.
    """

    images: np.ndarray
    labels: np.ndarray
    official_test: np.ndarray
    sources: list[str] | None = None


@dataclass(frozen=True)
class Labels:
    """The labels of a prepared array: `classes` `(N,)` slugs, `official_test` `(N,)` bool, and `sources`, if any."""

    classes: np.ndarray
    official_test: np.ndarray
    sources: list[str] | None


def write_labels(path: Path, source: LabelledImages, classes: list[str]) -> None:
    with whole_file(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        sources = source.sources or [""] * len(source.labels)
        for index, row in enumerate(zip(source.labels, source.official_test, sources, strict=True)):
            label, official_test, key = row
            writer.writerow((index, classes[label], int(official_test), key))


def read_labels(path: Path) -> Labels:
    """Read what `write_labels` wrote. Only `split`, `evaluate` and figures may: none reaches training or scoring."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    classes = np.array([row["class"] for row in rows])
    official_test = np.array([row["official_test"] == "1" for row in rows], bool)
    sources = [row["source"] for row in rows]
    return Labels(classes, official_test, sources if any(sources) else None)
