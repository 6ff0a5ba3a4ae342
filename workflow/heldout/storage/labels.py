"""The table of labels beside a prepared array."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from heldout import shapes_no_number
from heldout.errors import HeldoutError
from heldout.storage.files import whole_file
from heldout.storage.hashing import file_sha256
from heldout.storage.manifests import SplitManifest
from heldout.storage.sidecars import hash_of, remade

COLUMNS = ("index", "class", "official_test", "source")
COVERED = "labels"  # the key of the table's hash in a manifest's `content`


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


@shapes_no_number
def cover_labels(manifest: SplitManifest, path: Path) -> None:
    """Put the hash of the table of labels into a new manifest."""
    manifest.content[COVERED] = file_sha256(path)


@shapes_no_number
def check_labels(manifest: SplitManifest, path: Path) -> None:
    """Raise HeldoutError if the table of labels is not the one that the split was made from."""
    found = hash_of(path, _array(path))
    if manifest.content.get(COVERED, found) != found:  # a manifest of an earlier version has none
        raise HeldoutError(f"{path} differs from the labels that the split used; {remade(_array(path))}")


def _array(labels: Path) -> Path:
    """Return the prepared array beside a table of labels."""
    return labels.with_name(labels.name.partition(".")[0] + ".npy")
