"""The published protocols' counts, on the official files."""

import numpy as np
import pytest

from heldout import registry
from heldout.numerics.pixels import resized
from heldout.planning.identity import source_digest
from heldout.planning.split_settings import SplitSettings
from heldout.planning.tasks import normal_classes
from heldout.stages.split import split
from heldout.storage.labels import Labels, write_labels
from heldout.storage.manifests import read_manifest
from heldout.storage.sidecars import LABELS
from heldout.storage.specs import SplitSpec
from tests.conftest import record

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["cifar10", "mnist"])
def dataset(request, mirror, tmp_path_factory):
    """A dataset's name, its classes, and a folder with its prepared array."""
    folder, entry = tmp_path_factory.mktemp(request.param), registry.load("dataset", request.param)
    source = registry.create("dataset", request.param, {}).read(mirror / request.param)
    np.save(folder / "images.npy", resized(source.images, None))
    write_labels(folder / "labels.csv", Labels(np.array(entry.facts["classes"])[source.labels], source.official_test))
    record(folder / "images.npy", files={LABELS: folder / "labels.csv"})
    return request.param, entry.facts["classes"], folder


def manifest_of(dataset, protocol, **settings):
    name, classes, folder = dataset
    held_out = classes[3]
    spec = SplitSpec(
        dataset=name,
        prepared="p" * 12,
        protocol=protocol,
        held_out=held_out,
        classes=classes,
        normal=normal_classes(protocol, held_out, classes, []),
        **SplitSettings(**settings).model_dump(),
        source=source_digest("split"),
    )
    split(spec, folder / "images.npy", folder / "labels.csv", folder / "split.json")
    manifest = read_manifest(folder / "split.json", spec.digest)
    tested = manifest.counts["test"]
    normal = sum(count for each, count in tested.items() if each in manifest.normal)
    return manifest, normal, sum(tested.values()) - normal


def test_ganomalys_split_with_a_seed(dataset):
    """P4a: 43,200 images of CIFAR-10 train, 10,800 and 6,000 test; EGBAD's on MNIST is meant to be the same, 80/20."""
    manifest, normal, anomalous = manifest_of(dataset, "leave_one_out", variant="pooled")
    if dataset[0] == "cifar10":
        assert (len(manifest.train), normal, anomalous) == (43_200, 10_800, 6_000)
        assert manifest.share_of_anomalies == pytest.approx(0.357, abs=5e-4)
    else:  # 70,000 less the 7,141 of the digit 3
        assert (len(manifest.train), normal, anomalous) == (50_287, 12_572, 7_141)
    assert not set(manifest.train) & set(manifest.test)


def test_ganomalys_split_without_a_seed(dataset):
    """P4b: 45,000 images of CIFAR-10 train, 9,000 and 6,000 test."""
    manifest, normal, anomalous = manifest_of(dataset, "leave_one_out", variant="all_anomalies")
    if dataset[0] == "cifar10":
        assert (len(manifest.train), normal, anomalous) == (45_000, 9_000, 6_000)
        assert manifest.share_of_anomalies == pytest.approx(0.4)
    else:  # the digit 3 has 6,131 training and 1,010 test images
        assert (len(manifest.train), normal, anomalous) == (60_000 - 6_131, 10_000 - 1_010, 7_141)


def test_one_class_with_adgans_random_items_and_with_the_whole_test_part(dataset):
    """P1: 5,000 random test items; P2: all 10,000."""
    items, *_ = manifest_of(dataset, "one_class", test_items=5000)
    whole, normal, anomalous = manifest_of(dataset, "one_class")
    assert len(items.test) == 5000 and set(items.test) < set(whole.test)
    assert normal + anomalous == 10_000
    trained, expected_normal = (5_000, 1_000) if dataset[0] == "cifar10" else (6_131, 1_010)
    assert (len(items.train), len(whole.train), normal) == (trained, trained, expected_normal)


def test_contamination_keeps_the_number_of_training_images(dataset):
    clean, *_ = manifest_of(dataset, "one_class")
    for share in (0.01, 0.05, 0.1, 0.2):
        manifest, *_ = manifest_of(dataset, "one_class", contamination=share)
        bad = len(manifest.train) - manifest.counts["train"][manifest.normal[0]]
        assert len(manifest.train) == len(clean.train) and bad == round(share * len(clean.train))
        assert manifest.test == clean.test
