"""From a dataset's files to one uint8 array that later steps memory-map, and a table of labels beside it."""

from pathlib import Path
from typing import Any

import numpy as np

from heldout import fetching, registry
from heldout.files import whole_file
from heldout.identity import IMAGES, check_source
from heldout.images import resized
from heldout.labelled import write_labels


def prepare(spec: dict[str, Any], raw: Path, images: Path, labels: Path) -> None:
    """Write the images `(N, C, side, side)` as `.npy` and their labels as CSV, in the source's order.

    Args:
        spec: `dataset` and its `options`.
        raw: the folder that `fetch` filled.
        images: where the array goes; uncompressed, so that a job reads only the images it needs.
        labels: where the labels go: `index, class, official_test`.
    """
    check_source(spec, f"heldout.datasets.{spec['dataset']}", IMAGES)
    fetching.check(spec["dataset"], raw)
    entry = registry.load("dataset", spec["dataset"])
    source = entry.plugin().read(raw)
    write_labels(labels, source, entry.facts["classes"])
    with whole_file(images) as temporary, open(temporary, "wb") as file:
        np.save(file, resized(source.images, spec["options"]["size"]), allow_pickle=False)
