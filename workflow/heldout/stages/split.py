"""Splits: protocols, variants, and the manifest that assigns images to training, calibration and testing.

A protocol determines the normal classes:
`one_class`: train only on the held-out class; every other class is anomalous.
`leave_one_out`: train on all other classes; the held-out class is anomalous.
`folders`: train on the classes in the dataset's option `normal`; every other class is a separate group of anomalies.

A variant determines the test images:
`official`: the official test part.
`all_anomalies`: its normal images, and every anomalous image, including those of the official training part.
`pooled`: a random fifth of the normal images of both official parts, and every anomalous image.

Contamination replaces a fraction of the training images by unlabelled anomalies from outside the official test part;
if that part contains every anomaly, from the test part, whose tested images they then leave. Calibration images are
always normal: contaminated thresholds are not modelled.

Source: ADGAN section 4.3 (one-versus-all, "5000 items randomly selected from the test set"); GANomaly's code
(lib/data.py): `pooled` with a seed, `all_anomalies` without one; EGBAD's code (data/mnist.py) means `pooled`, but draws
training and test anew, so that most of its test normals were trained on. Contamination: Deep SAD (Ruff et al., ICLR
2020), whose shares are 0, 0.01, 0.05, 0.1 and 0.2.
Images are drawn by the hash of split seed, purpose and image content. So a split does not depend on a library's random
generator, on the order of files, or on the version of an image decoder, since a photograph's content is its file.
Without an official test part, a fifth of each class is drawn for testing. `train_items`, `test_items` and
`labelled_anomalies` are stratified: each class contributes in proportion to its size, rounded to the requested sum.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from heldout import shapes_no_number
from heldout.errors import HeldoutError
from heldout.planning.identity import check_source
from heldout.planning.tasks import OWN_TEST_SHARE
from heldout.storage.labels import Labels, cover_labels, read_labels
from heldout.storage.manifests import PARTS, SplitManifest, content_sha256, write_manifest
from heldout.storage.sidecars import LABELS, check_own, hash_of, remade
from heldout.storage.specs import SplitSpec

FEWEST_TRAINING_IMAGES = 2  # batch normalisation needs two
FEWEST_CALIBRATION_IMAGES = 2  # one has no spread


def split(spec: SplitSpec, images_path: Path, labels_path: Path, manifest_path: Path) -> None:
    """Write a split manifest: the indices of each part in the prepared array, their counts and hashes.

    The manifest contains no label of a test image. `train_classes` is for conditional models.

    Args:
        spec: of the manifest; training and scoring check its digest.
        images_path, labels_path: the files that `prepare` wrote.
        manifest_path: the file to write.

    Raises:
        HeldoutError: too few images for the task, or a file is damaged.
    """
    check_source(spec.source, "split")
    _check_prepared(images_path, labels_path)
    images = np.load(images_path, mmap_mode="r", allow_pickle=False)
    labels = read_labels(labels_path)
    contents = [hashlib.sha256(image.tobytes()).hexdigest() for image in images]
    keys = labels.sources or contents
    if spec.protocol == "folders" and not labels.official_test.any():
        raise HeldoutError(f"{spec.dataset}: the protocol folders needs separate folders train and test in it")
    normal = spec.normal
    parts, dropped = _parts(spec, labels, contents, keys)
    _refuse_small(spec, parts, labels, normal)

    known = {contents[index] for part in PARTS[:-1] for index in parts[part]}
    is_anomalous = ~np.isin(labels.classes[parts["test"]], normal)
    manifest = SplitManifest(
        digest=spec.digest,
        dataset=spec.dataset,
        protocol=spec.protocol,
        held_out=spec.held_out,
        prepared=spec.prepared,
        variant=spec.variant,
        split_seed=spec.split_seed,
        train_items=spec.train_items,
        test_items=spec.test_items,
        contamination=spec.contamination,
        drop_duplicates=spec.drop_duplicates,
        normal=normal,
        anomalous=[name for name in spec.classes if name not in normal],
        share_of_anomalies=round(float(is_anomalous.mean()), 6),
        official_test_part=bool(labels.official_test.any()),
        dropped_duplicates=dropped,
        test_images_also_in_training=sum(contents[index] in known for index in parts["test"]),
        counts={part: dict(sorted(Counter(labels.classes[parts[part]].tolist()).items())) for part in PARTS},
        content={part: content_sha256(images, parts[part]) for part in PARTS},
        train_classes=[_told_class(spec, labels.classes[index], keys[index]) for index in parts["train"]],
        train=parts["train"],
        calibration=parts["calibration"],
        labelled_anomalies=parts["labelled_anomalies"],
        test=parts["test"],
    )
    cover_labels(manifest, labels_path)
    write_manifest(manifest_path, manifest)


@shapes_no_number
def _check_prepared(images_path: Path, labels_path: Path) -> None:
    """Raise HeldoutError unless the array and its labels have the hashes that `prepare` has recorded."""
    recorded = check_own(images_path)
    if (recorded.files or {}).get(LABELS) != hash_of(labels_path, images_path):
        raise HeldoutError(f"{labels_path} is damaged: it is not what was prepared; {remade(images_path)}")


@dataclass(frozen=True)
class _Draw:
    """Random choices of images, by the hash of the split seed, a purpose and each image's key."""

    spec: SplitSpec
    classes: np.ndarray  # (N,) names
    keys: list[str]

    def first(self, purpose: str, candidates: np.ndarray, count: int) -> np.ndarray:
        """Return `count` of the candidates' indices, in the order of the array."""
        ranked = sorted(candidates.tolist(), key=lambda index: (_rank(self.spec, purpose, self.keys[index]), index))
        return np.array(sorted(ranked[:count]), dtype=int)

    def stratified(self, key: str, count: int | None, candidates: np.ndarray, images: str) -> np.ndarray:
        """Return `count` candidates, stratified by class; None: all. `key` is the experiment's key, for messages."""
        if count is None:
            return candidates
        if count > len(candidates):
            raise HeldoutError(
                f"{key}: {count} requested, but {self.spec.dataset} has {len(candidates)} {images}; lower it"
                + ("" if key == "labelled_anomalies" else ", or leave it out to use all")
            )
        purpose, names = key.replace("_", " "), self.classes[candidates]
        wanted = shares(Counter(names.tolist()), count)
        chosen = [index for name in wanted for index in self.first(purpose, candidates[names == name], wanted[name])]
        return np.array(sorted(chosen), dtype=int)


def _parts(spec: SplitSpec, labels: Labels, contents: list[str], keys: list[str]) -> tuple[dict[str, list[int]], int]:
    """Return the sorted indices of each part, and the number of test images that `drop_duplicates` leaves out."""
    draw = _Draw(spec, labels.classes, keys)
    is_normal = np.isin(labels.classes, spec.normal)
    official = _official_test(spec, labels, draw)
    tested = _tested(spec, is_normal, official, draw)

    train = np.flatnonzero(is_normal & ~tested)
    calibration = draw.first("calibration", train, round(len(train) * spec.calibration))
    train = np.setdiff1d(train, calibration)
    train = draw.stratified("train_items", spec.train_items, train, "normal training images")
    outside = np.flatnonzero(~is_normal & ~official)
    if not len(outside):  # every anomaly is in the test part; those that are taken leave it
        outside = np.flatnonzero(~is_normal)
    contaminating = _contaminating(spec, train, outside, draw)
    kept = draw.first("beside contamination", train, len(train) - len(contaminating))
    labelled = draw.stratified(
        "labelled_anomalies",
        spec.labelled_anomalies,
        np.setdiff1d(outside, contaminating),
        "anomalous images outside the test part",
    )
    parts = {"train": np.union1d(kept, contaminating), "calibration": calibration, "labelled_anomalies": labelled}

    taken = np.concatenate(list(parts.values()))
    test = np.setdiff1d(np.flatnonzero(tested), taken)
    seen = {contents[index] for index in taken} if spec.drop_duplicates else set()
    fresh = np.array([index for index in test if contents[index] not in seen], dtype=int)
    parts["test"] = draw.stratified("test_items", spec.test_items, fresh, "test images")
    return {name: part.tolist() for name, part in parts.items()}, len(test) - len(fresh)


def _official_test(spec: SplitSpec, labels: Labels, draw: _Draw) -> np.ndarray:
    """Return a mask of the official test part or, if there is none, of a random fifth of each class."""
    official = labels.official_test.copy()
    if not official.any():
        for name in spec.classes:
            members = np.flatnonzero(labels.classes == name)
            official[draw.first("test part", members, round(len(members) * OWN_TEST_SHARE))] = True
    return official


def _tested(spec: SplitSpec, is_normal: np.ndarray, official: np.ndarray, draw: _Draw) -> np.ndarray:
    """Return a mask of the variant's test images, before any are taken for training."""
    if spec.variant == "official":
        return official
    if spec.variant == "all_anomalies":
        return official | ~is_normal
    normals = np.flatnonzero(is_normal)
    tested = ~is_normal
    tested[draw.first("pooled test part", normals, len(normals) - int(len(normals) * (1 - OWN_TEST_SHARE)))] = True
    return tested


def _contaminating(spec: SplitSpec, train: np.ndarray, outside: np.ndarray, draw: _Draw) -> np.ndarray:
    """Return the anomalies that replace training images.

    Args:
        train: the normal training images.
        outside: the anomalies to draw from.
    """
    wanted = round(len(train) * spec.contamination)
    if spec.contamination and not wanted:
        raise HeldoutError(f"contamination: {spec.contamination} of {len(train)} training images is 0; raise it")
    if wanted > len(outside):
        raise HeldoutError(
            f"contamination: {wanted} anomalies among {len(train)} training images requested, but {spec.dataset} "
            f"has {len(outside)} anomalous images outside the test part; lower it, or train_items"
        )
    return draw.first("contamination", outside, wanted)


def shares(counts: dict[str, int], wanted: int) -> dict[str, int]:
    """Divide `wanted` among the classes in proportion to `counts`.

    The largest remainders are rounded up, equal ones in the order of the classes' names.

    Args:
        counts: number of images of each class.
        wanted: at most the sum of `counts`.
    """
    there = sum(counts.values())
    found = {name: counts[name] * wanted // there for name in sorted(counts)}
    by_remainder = sorted(found, key=lambda name: -(counts[name] * wanted % there))
    for name in by_remainder[: wanted - sum(found.values())]:
        found[name] += 1
    return found


def _refuse_small(spec: SplitSpec, parts: dict[str, list[int]], labels: Labels, normal: list[str]) -> None:
    task = f"{spec.dataset}, held_out {spec.held_out}"
    if len(parts["train"]) < FEWEST_TRAINING_IMAGES:
        raise HeldoutError(
            f"{task}: {len(parts['train'])} training images, but at least {FEWEST_TRAINING_IMAGES} are needed; "
            + ("put some in train" if spec.protocol == "folders" else "choose another class, or lower calibration")
        )
    if spec.calibration and len(parts["calibration"]) < FEWEST_CALIBRATION_IMAGES:
        raise HeldoutError(
            f"{task}: {len(parts['calibration'])} calibration images, but at least {FEWEST_CALIBRATION_IMAGES} are "
            "needed; raise calibration, or set it to 0"
        )
    tested = labels.classes[parts["test"]]
    remedy = "raise test_items" if spec.test_items else "the test part has none"
    if spec.protocol == "folders":  # every group of anomalies has a row of its own
        remedy = "raise test_items" if spec.test_items else "put some in test, or move the folder of the class away"
        if missing := [name for name in spec.classes if name not in normal and name not in tested]:
            raise HeldoutError(f"{task}: no image of {missing[0]} among {len(tested)} test images; {remedy}")
    test_normal = np.isin(tested, normal)
    if test_normal.all() or not test_normal.any():
        kind = "anomalous" if test_normal.all() else "normal"
        raise HeldoutError(f"{task}: no {kind} image among {len(tested)} test images; {remedy}")


def _told_class(spec: SplitSpec, name: str, key: str) -> int:
    """Return a training image's class for conditional models: its index in `normal`, random for an anomaly."""
    if name in spec.normal:
        return spec.normal.index(name)
    return int(_rank(spec, "class", key), 16) % len(spec.normal)


def _rank(spec: SplitSpec, purpose: str, key: str) -> str:
    return hashlib.sha256(f"{spec.split_seed}/{purpose}/{key}".encode()).hexdigest()
