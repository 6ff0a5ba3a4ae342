"""Split manifests: the assignment of a prepared array's images to the parts of a split."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heldout.errors import HeldoutError
from heldout.storage.files import write_text
from heldout.storage.hashing import canonical
from heldout.storage.specs import Record

if TYPE_CHECKING:  # planning reads no array
    import numpy as np

SCORED_PARTS = ("calibration", "labelled_anomalies", "test")  # of a split, in the order of a score file
PARTS = ("train", *SCORED_PARTS)


@dataclass(frozen=True, kw_only=True)
class SplitManifest(Record):
    """The parts of a split as indices into the prepared array, with counts and hashes.

    Attributes:
        digest: of the split's spec, which has the fields up to `drop_duplicates`, too. Older manifests lack `prepared`
            and `variant`.
        normal, anomalous: classes.
        share_of_anomalies: of the test images.
        official_test_part: whether the data set has one.
        dropped_duplicates: number of test images that `drop_duplicates` left out.
        test_images_also_in_training: number of test images that are pixel-identical to an image of another part.
        counts: number of images of each class, by part.
        content: the hash of the images' pixels, by part; `labels`: of the table of labels, which older manifests lack.
        train_classes: each training image's class for conditional models, as an index into `normal`.
        sha256: of all other fields.
    """

    digest: str
    dataset: str
    protocol: str
    held_out: str
    prepared: str | None = None
    variant: str | None = None
    split_seed: int
    train_items: int | None
    test_items: int | None
    contamination: float
    drop_duplicates: bool
    normal: list[str]
    anomalous: list[str]
    share_of_anomalies: float
    official_test_part: bool
    dropped_duplicates: int
    test_images_also_in_training: int
    counts: dict[str, dict[str, int]]
    content: dict[str, str]
    train_classes: list[int]
    train: list[int]
    calibration: list[int]
    labelled_anomalies: list[int]
    test: list[int]
    sha256: str = ""

    def part(self, name: str) -> list[int]:
        """Return the indices of one of PARTS."""
        return {
            "train": self.train,
            "calibration": self.calibration,
            "labelled_anomalies": self.labelled_anomalies,
            "test": self.test,
        }[name]

    @property
    def scored(self) -> list[tuple[int, str]]:
        """The index and the part of every image that is scored, in the order of a score file."""
        return [(index, name) for name in SCORED_PARTS for index in self.part(name)]

    @property
    def anomalies_trained_on(self) -> int:
        """The number of training images of anomalous classes."""
        return sum(count for name, count in self.counts["train"].items() if name not in self.normal)


def write_manifest(path: Path, manifest: SplitManifest) -> None:
    """Write a manifest with the hash of its content."""
    content = asdict(manifest)
    content["sha256"] = manifest_sha256(content)
    write_text(path, json.dumps(content, indent=None, separators=(",", ":")) + "\n")


def read_manifest(path: Path, digest: str | None) -> SplitManifest:
    """Read a manifest, check its hash and, unless `digest` is None, that it is the planned one.

    Raises:
        HeldoutError: it was altered, or belongs to another split.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        whole = content["sha256"] == manifest_sha256(content)
        manifest = SplitManifest.of(content)
    except (HeldoutError, ValueError, KeyError, TypeError, RecursionError, OSError) as error:
        raise HeldoutError(f"{path} is not a split manifest ({error}); delete it and run again") from error
    if not whole:
        raise HeldoutError(f"{path} was altered after it was written; delete it and run again")
    if digest is not None and manifest.digest != digest:
        raise HeldoutError(f"{path} is split {manifest.digest}, but {digest} was planned; run snakemake again")
    return manifest


def content_sha256(images: "np.ndarray", indices: list[int]) -> str:
    """Return the hash of the chosen images' pixels, in order."""
    sha256 = hashlib.sha256()
    for index in indices:
        sha256.update(images[index].tobytes())
    return sha256.hexdigest()


def manifest_sha256(manifest: dict[str, Any]) -> str:
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(canonical(content).encode()).hexdigest()
