"""From a dataset's files to one uint8 array that later steps memory-map, and a table of labels beside it."""

from pathlib import Path

import numpy as np

from heldout import registry
from heldout.numerics.pixels import resized
from heldout.planning.identity import IMAGES, check_source
from heldout.stages import fetch
from heldout.storage import folders
from heldout.storage.files import whole_file
from heldout.storage.labels import write_labels
from heldout.storage.specs import PrepareSpec


def prepare(spec: PrepareSpec, raw: Path, images: Path, labels: Path) -> None:
    """Write the images `(N, C, side, side)` as `.npy` and their labels as CSV, in the source's order.

    Args:
        spec: what determines the array.
        raw: the folder that `fetch` filled, or a user's own.
        images: where the array goes; uncompressed, so that a job reads only the images it needs.
        labels: where the labels go: `index, class, official_test`.
    """
    check_source(spec, f"heldout.datasets.{spec.dataset}", IMAGES)
    entry, options = registry.load("dataset", spec.dataset), spec.options
    if entry.facts["files"]:
        fetch.check(spec.dataset, raw)
        dataset = entry.plugin()
    else:
        folders.check(raw, options["md5"], spec.dataset)
        dataset = entry.plugin(entry.params(**options, folder=str(raw)))
    source = dataset.read(raw)
    write_labels(labels, source, registry.classes_of(spec.dataset, entry.facts["classes"], options))
    with whole_file(images) as temporary, open(temporary, "wb") as file:
        np.save(file, resized(source.images, options["size"]), allow_pickle=False)
