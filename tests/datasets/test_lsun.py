"""LSUN from small databases of the same form: JPEG or WebP files under keys that are hashes."""

import hashlib
import io
import shutil
import sys
import zipfile

import lmdb
import numpy as np
import pytest
from PIL import Image

from heldout import registry
from heldout.errors import HeldoutError
from heldout.planning.identity import source_digest
from heldout.planning.plan import Plan
from heldout.planning.resolve import resolve
from heldout.stages.fetch import fetch
from heldout.stages.prepare import prepare
from heldout.storage import folders
from heldout.storage.labels import read_labels
from heldout.storage.specs import PrepareSpec

SIDE = 32


def noise(seed, width=SIDE):
    return np.random.default_rng(seed).integers(0, 256, (SIDE, width, 3), np.uint8)


def encoded(pixels, form="WEBP", **options):
    with io.BytesIO() as file:
        Image.fromarray(pixels).save(file, form, **options)
        return file.getvalue()


def key_of(number):
    return hashlib.sha1(str(number).encode()).hexdigest().encode()


def write(folder, values):
    """Write a database of values under the keys of their numbers."""
    folder.mkdir(parents=True)
    with lmdb.open(str(folder), map_size=2**24) as environment, environment.begin(write=True) as transaction:
        for number, value in enumerate(values):
            transaction.put(key_of(number), value)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Ten bedrooms to train on, and three of each of two scenes for validation: noise, without loss."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "lsun"
    for name, seeds in {"bedroom_train": range(10), "bedroom_val": range(20, 23), "tower_val": range(30, 33)}.items():
        write(folder / f"{name}_lmdb", [encoded(noise(seed), lossless=True) for seed in seeds])
    return folder


def prepared(folder, **options):
    options = {"size": SIDE, "classes": ["bedroom", "tower"], "md5": folders.md5_of(folder)} | options
    source = source_digest("prepare", "lsun")
    images, labels = folder.parent / "images.npy", folder.parent / "images.labels.csv"
    prepare(PrepareSpec(dataset="lsun", options=options, files={}, source=source), folder, images, labels)
    return np.load(images), read_labels(labels)


def in_key_order(seeds):
    order = sorted(range(len(seeds)), key=key_of)
    return [noise(seeds[number]).transpose(2, 0, 1) for number in order]


def test_databases_are_read_back_in_the_order_of_their_keys(folder):
    images, labels = prepared(folder)
    expected = [*in_key_order(range(10)), *in_key_order(range(20, 23)), *in_key_order(range(30, 33))]
    assert images.dtype == np.uint8 and np.array_equal(images, expected)
    assert labels.classes.tolist() == ["bedroom"] * 13 + ["tower"] * 3
    assert labels.official_test.tolist() == [False] * 10 + [True] * 6


def test_the_first_training_images_by_key_are_read_and_all_of_validation(folder):
    images, labels = prepared(folder, train_images=2)
    assert np.array_equal(images[:2], in_key_order(range(10))[:2])
    assert labels.official_test.tolist() == [False] * 2 + [True] * 6


def test_jpeg_is_read_back_within_its_loss(folder):
    rows, columns = np.mgrid[:SIDE, :SIDE]
    smooth = np.stack([4 * rows + 60, 4 * columns + 60, 2 * (rows + columns) + 60], axis=-1).astype(np.uint8)
    shutil.rmtree(folder / "tower_val_lmdb")
    write(folder / "tower_val_lmdb", [encoded(smooth, "JPEG", quality=75)])
    read = prepared(folder)[0][-1].transpose(1, 2, 0)
    difference = np.abs(read.astype(int) - smooth)
    assert 0 < difference.mean() < 3  # grey levels; halved colour resolution and coarse steps, over a ramp of 4 a pixel


def test_the_centre_is_cut_out(folder):
    wide = noise(0, width=3 * SIDE)
    shutil.rmtree(folder / "tower_val_lmdb")
    write(folder / "tower_val_lmdb", [encoded(wide, lossless=True)])
    assert np.array_equal(prepared(folder)[0][-1].transpose(1, 2, 0), wide[:, SIDE : 2 * SIDE])


def test_training_images_come_from_the_scenes_that_have_them_or_that_are_named(folder):
    shutil.copytree(folder / "tower_val_lmdb", folder / "tower_train_lmdb")
    _, labels = prepared(folder)
    assert labels.classes[~labels.official_test].tolist() == ["bedroom"] * 10 + ["tower"] * 3
    _, labels = prepared(folder, train=["tower"])
    assert labels.classes[~labels.official_test].tolist() == ["tower"] * 3


def test_without_validation_there_is_no_official_test_part(folder):
    shutil.rmtree(folder / "bedroom_val_lmdb")
    (folder / "tower_val_lmdb").rename(folder / "tower_train_lmdb")
    assert prepared(folder)[1].official_test.tolist() == [False] * 13


def cut_off(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda folder: shutil.rmtree(folder / "tower_val_lmdb"),
            "lsun has no folder tower_val_lmdb; unpack http://dl.yf.io/lsun/scenes/tower_val_lmdb.zip there",
        ),
        (
            lambda folder: shutil.rmtree(folder / "bedroom_train_lmdb"),
            "lsun has no folder bedroom_train_lmdb; unpack http://dl.yf.io/lsun/scenes/bedroom_train_lmdb.zip there",
        ),
        (
            lambda folder: cut_off(folder / "tower_val_lmdb" / "data.mdb"),
            "tower_val_lmdb is not a complete database .*cut off",
        ),
        (lambda folder: (folder / "tower_val_lmdb" / "data.mdb").unlink(), "tower_val_lmdb is not a complete database"),
        (
            lambda folder: (folder / "tower_val_lmdb" / "data.mdb").write_bytes(b"<html>404</html>" * 1000),
            "tower_val_lmdb is not a complete database",
        ),
    ],
)
def test_a_folder_that_will_not_do_is_one_line(folder, spoil, message):
    spoil(folder)
    with pytest.raises(HeldoutError, match=message):
        prepared(folder)
    assert not (folder.parent / "images.npy").exists() and not (folder.parent / "images.labels.csv").exists()


def test_a_truncated_image_is_named_by_its_key(folder):
    shutil.rmtree(folder / "tower_val_lmdb")
    values = [encoded(noise(seed), "JPEG") for seed in range(2)]
    write(folder / "tower_val_lmdb", [values[0], values[1][:-200]])
    with pytest.raises(HeldoutError, match=f"tower_val_lmdb: the image {key_of(1).decode()} cannot be read"):
        prepared(folder)


def test_without_lmdb_the_line_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(HeldoutError, match=r"lsun needs lmdb; run: pip install -e '.\[lsun\]'"):
        prepared(folder)


def test_reading_leaves_no_file_behind_and_a_look_with_a_lock_changes_no_hash(folder):
    shutil.rmtree(folder / "tower_val_lmdb")
    write(folder / "tower_val_lmdb", [encoded(noise(0), lossless=True)])
    (folder / "tower_val_lmdb" / "lock.mdb").unlink()
    before, there = folders.md5_of(folder), {*folder.parent.rglob("*")}
    prepared(folder)
    assert {path.name for path in {*folder.parent.rglob("*")} - there} == {
        "images.npy",
        "images.labels.csv",
        "images.spec.json",
    }
    with lmdb.open(str(folder / "tower_val_lmdb"), readonly=False) as environment, environment.begin():
        pass
    assert (folder / "tower_val_lmdb" / "lock.mdb").is_file() and folders.md5_of(folder) == before


def plan(**options) -> Plan:
    dataset = {"folder": "lsun", "classes": ["bedroom", "tower"]} | options
    content = {"experiment": "scenes", "datasets": {"lsun": dataset}, "held_out": [0], "methods": {"mean_image": {}}}
    return Plan(resolve(content, where="scenes.yaml"))


def test_identity_is_what_is_read_and_not_where_it_lies(folder):
    expected = plan().scores
    assert plan(md5=folders.md5_of(folder)).scores == expected != plan(train_images=2).scores
    folder.rename(folder.parent / "moved")
    assert plan(folder="moved").scores == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": ["bedroom", "towr"]}, "datasets.lsun.classes: 'towr' is not one of .*'tower'"),
        ({"train": ["tower"], "classes": ["bedroom", "bridge"]}, "datasets.lsun.train: no entry of `classes` 'tower'"),
        ({"folder": "nowhere"}, "folder nowhere is missing.*See: heldout datasets lsun"),
    ],
)
def test_a_mistake_in_the_entry_is_one_line(folder, options, message):
    with pytest.raises(HeldoutError, match=message):
        plan(**options)


def zipped(folder, names, mirror):
    """Put a database of the folder into the mirror as LSUN publishes it, one for each of the names."""
    mirror.mkdir(parents=True)
    for name in names:
        with zipfile.ZipFile(mirror / f"{name}.zip", "w") as archive:
            for file in ("data.mdb", "lock.mdb"):
                archive.write(folder / "tower_val_lmdb" / file, f"{name}/{file}")


def test_validation_archives_are_fetched_beside_what_is_there(folder, tmp_path):
    scenes = registry.load("dataset", "lsun").source.archives
    zipped(folder, [name.removesuffix(".zip") for name in scenes], tmp_path / "mirror" / "lsun")
    fetch("lsun", folder, str(tmp_path / "mirror"))
    found = {path.name for path in folder.iterdir()}
    assert found == {"bedroom_train_lmdb", *(name.removesuffix(".zip") for name in scenes)}
    images, labels = prepared(folder, classes=["bedroom", "bridge"])
    assert np.array_equal(images[-3:], in_key_order(range(30, 33))) and labels.official_test[-3:].all()
    assert np.array_equal(images[-6:-3], in_key_order(range(20, 23)))  # the bedrooms that were there are left alone


@pytest.mark.parametrize("member", ["../evil", "/evil", "bridge_val_lmdb/../../evil", "other/data.mdb"])
def test_an_archive_that_leaves_its_folder_is_refused_and_nothing_is_left(folder, tmp_path, member):
    mirror = tmp_path / "mirror" / "lsun"
    zipped(folder, ["bridge_val_lmdb"], mirror)
    with zipfile.ZipFile(mirror / "bridge_val_lmdb.zip", "a") as archive:
        archive.writestr(member, "evil")
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(HeldoutError, match=f"contains {member}, outside the folder bridge_val_lmdb; it was refused"):
        fetch("lsun", folder, str(tmp_path / "mirror"))
    assert not (folder / "bridge_val_lmdb").exists() and sorted(path.name for path in tmp_path.iterdir()) == before


def test_an_archive_that_is_missing_or_cut_off_is_one_line(folder, tmp_path):
    mirror = tmp_path / "mirror" / "lsun"
    mirror.mkdir(parents=True)
    with pytest.raises(HeldoutError, match=r"cannot fetch .*bridge_val_lmdb.zip \(no such file\); unpack"):
        fetch("lsun", folder, str(tmp_path / "mirror"))
    (mirror / "bridge_val_lmdb.zip").write_bytes(b"PK")
    with pytest.raises(HeldoutError, match="is not a complete archive"):
        fetch("lsun", folder, str(tmp_path / "mirror"))
    assert not (folder / "bridge_val_lmdb").exists()
    with pytest.raises(HeldoutError, match="image_folder reads your own folder; there is nothing to fetch"):
        fetch("image_folder", folder, None)
