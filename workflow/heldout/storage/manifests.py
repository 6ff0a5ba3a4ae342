"""Split manifests: which image of a prepared array plays which part."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from heldout.errors import HeldoutError
from heldout.storage.hashing import canonical

SCORED_PARTS = ("calibration", "labelled_anomalies", "test")  # of a split, in the order of a score file
STATED = (
    "dataset",
    "prepared",
    "protocol",
    "variant",
    "held_out",
    "split_seed",
    "train_items",
    "test_items",
    "calibration",
    "contamination",
    "drop_duplicates",
)


PARTS = ("train", "calibration", "labelled_anomalies", "test")


def read_manifest(path: Path, digest: str | None) -> dict[str, Any]:
    """Read a manifest and check that it is whole and, given its digest, that it is the one that was planned.

    Raises:
        HeldoutError: it was altered, or is another split's.
    """
    try:
        manifest = json.loads(Path(path).read_text(encoding="utf-8"))
        whole = manifest["sha256"] == manifest_sha256(manifest)
    except (ValueError, KeyError, OSError) as error:
        raise HeldoutError(f"{path} is not a split manifest ({error}); delete it and run again") from error
    if not whole:
        raise HeldoutError(f"{path} was altered after it was written; delete it and run again")
    if digest is not None and manifest["digest"] != digest:
        raise HeldoutError(f"{path} is split {manifest['digest']}, but {digest} was planned; run snakemake again")
    return manifest


def anomalies_trained_on(manifest: dict[str, Any]) -> int:
    """Return how many of a manifest's training images are of an anomalous class."""
    return sum(count for name, count in manifest["counts"]["train"].items() if name not in manifest["normal"])


def content_sha256(images: np.ndarray, indices: list[int]) -> str:
    """Return the hash of the chosen images' pixels, in order."""
    sha256 = hashlib.sha256()
    for index in indices:
        sha256.update(images[index].tobytes())
    return sha256.hexdigest()


def manifest_sha256(manifest: dict[str, Any]) -> str:
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(canonical(content).encode()).hexdigest()
