"""Writes a dataset as one uint8 array, which later steps memory-map, and a table of labels beside it."""

from pathlib import Path

import numpy as np

from heldout import registry
from heldout.datasets import Dataset, OwnFolder
from heldout.numerics.pixels import resized
from heldout.planning.identity import check_source
from heldout.planning.tasks import class_slugs
from heldout.stages import fetch
from heldout.storage import folders
from heldout.storage.files import whole_file
from heldout.storage.labels import Labels, write_labels
from heldout.storage.sidecars import write_prepared_spec
from heldout.storage.specs import PrepareSpec


def prepare(spec: PrepareSpec, raw: Path, images: Path, labels: Path) -> None:
    """Write the images `(N, C, side, side)` as `.npy` and their labels as CSV, in the order of the dataset.

    The spec file beside them states the SHA-256 of both; it appears last.

    Args:
        spec: of the array.
        raw: the folder that `fetch` filled, or a user's own.
        images: the array's file; uncompressed, so that a job reads only the images it needs.
        labels: the table's file: `index, class, official_test, source`.

    Raises:
        HeldoutError: a file is missing or damaged, or a user's folder has another MD5 than the spec.
    """
    check_source(spec.source, "prepare", spec.dataset)
    name, options = spec.dataset, spec.options
    entry = registry.load("dataset", name)
    if isinstance(entry.source, OwnFolder):
        folders.check(raw, options["md5"], name)
        options = options | {"folder": str(raw)}  # the spec does not contain its path
    else:
        fetch.check(name, raw)
    dataset: Dataset = registry.create("dataset", name, options)
    read = dataset.read(raw)
    classes = np.array(class_slugs(name, entry.facts["classes"], options))
    write_labels(labels, Labels(classes[read.labels], read.official_test, read.sources))
    with whole_file(images) as temporary, open(temporary, "wb") as file:
        np.save(file, resized(read.images, options["size"]), allow_pickle=False)
    write_prepared_spec(images, labels, spec)
