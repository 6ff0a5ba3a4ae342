"""A folder of a user's own images, of every form that Pillow reads, and the hash that pins it."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import yaml
from PIL import Image

from heldout import config, folders, registry
from heldout.errors import HeldoutError
from heldout.identity import IMAGES, source_digest
from heldout.labelled import read_labels
from heldout.plan import Plan
from heldout.preparing import prepare
from tests.conftest import REPOSITORY

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two classes of grey images."""
    monkeypatch.chdir(tmp_path)
    for name, images in {"good": 3, "Hand Gun": 2}.items():
        for number in range(images):
            path = tmp_path / "data" / "parts" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((40, 40), 10 * number, np.uint8)).save(path)
    return tmp_path / "data" / "parts"


def prepared(folder, **options):
    options = {"size": 32, "channels": 1, "classes": ["good", "Hand Gun"], "md5": folders.md5_of(folder)} | options
    source = source_digest("heldout.datasets.image_folder", IMAGES)
    images, labels = folder.parent / "images.npy", folder.parent / "labels.csv"
    prepare({"dataset": "image_folder", "options": options, "source": source}, folder, images, labels)
    return np.load(images), read_labels(labels)


def test_images_come_class_by_class_with_slugs(folder):
    images, labels = prepared(folder)
    assert images.shape == (5, 1, 32, 32) and images.dtype == np.uint8
    assert images[:, 0, 0, 0].tolist() == [0, 10, 20, 0, 10]
    assert labels.classes.tolist() == ["good"] * 3 + ["hand_gun"] * 2 and not labels.official_test.any()


@pytest.mark.parametrize(
    ("name", "image", "expected"),
    [
        ("grey.png", Image.new("L", (50, 40), 100), [100] * 3),
        ("colour.bmp", Image.new("RGB", (50, 40), (10, 20, 30)), [10, 20, 30]),
        ("palette.png", Image.new("RGB", (50, 40), (10, 20, 30)).quantize(2), [10, 20, 30]),
        ("half_transparent.webp", Image.new("RGBA", (50, 40), (200, 100, 50, 0)), [0, 0, 0]),
        ("sixteen_bit.png", Image.fromarray(np.full((40, 50), 25607, np.uint16)), [100] * 3),
        ("sixteen_bit.tiff", Image.fromarray(np.full((40, 50), 65280, np.uint16)), [255] * 3),
        ("grey.jpeg", Image.new("L", (9, 7), 100), [100] * 3),
    ],
)
def test_every_form_of_image_becomes_eight_bit_colour(folder, name, image, expected):
    image.save(folder / "good" / f"9{name}")
    images, _ = prepared(folder, channels=3)
    assert np.array_equal(images[3], np.broadcast_to(np.array(expected)[:, None, None], (3, 32, 32)))


def test_the_centre_is_cut_out(folder):
    wide = np.zeros((32, 96), np.uint8)
    wide[:, 32:64] = RAMP.repeat(2, 0).repeat(2, 1)
    Image.fromarray(wide).save(folder / "good" / "9.png")
    assert np.array_equal(prepared(folder)[0][3, 0], wide[:, 32:64])


def test_a_photograph_stands_as_its_camera_says(folder):
    exif = Image.Exif()
    exif[0x0112] = 3  # turned by 180 degrees
    Image.fromarray(RAMP.repeat(2, 0).repeat(2, 1)).save(folder / "good" / "9.png", exif=exif)
    assert np.array_equal(prepared(folder)[0][3, 0], RAMP.repeat(2, 0).repeat(2, 1)[::-1, ::-1])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "good" / "9.png").write_bytes(b"no image"), "good/9.png cannot be read as an image"),
        (
            lambda folder: shutil.copytree(folder / "good", folder / "scratched"),
            "parts/scratched is no class of this experiment; add 'scratched'",
        ),
        (lambda folder: (folder / "good" / "link").symlink_to(folder / "Hand Gun"), "good/link is a link to a folder"),
        (lambda folder: Image.new("F", (40, 40), 0.7).save(folder / "good" / "9.tiff"), "9.tiff has 32 bits a pixel"),
        (lambda folder: Image.new("I", (40, 40), 200).save(folder / "good" / "9.tiff"), "9.tiff has 32 bits a pixel"),
        (lambda folder: [path.unlink() for path in (folder / "good").iterdir()], "parts/good holds no images"),
    ],
)
def test_a_folder_that_will_not_do_is_one_line(folder, spoil, message):
    spoil(folder)
    with pytest.raises(HeldoutError, match=message):
        prepared(folder)
    assert not (folder.parent / "images.npy").exists()


def test_a_truncated_image_is_named(folder):
    path = folder / "good" / "1.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(HeldoutError, match="good/1.png cannot be read as an image"):
        prepared(folder)


def test_another_content_than_the_pinned_is_refused_with_both_hashes(folder):
    pinned = folders.md5_of(folder)
    (folder / "good" / "0.png").unlink()
    found = folders.md5_of(folder)
    with pytest.raises(HeldoutError, match=f"md5 {found}, pinned {pinned}; bring those back .*dvc checkout"):
        prepared(folder, md5=pinned)


def test_the_hash_is_the_one_that_dvc_add_writes(folder):
    (folder / "good" / "deeper").mkdir()
    Image.new("L", (8, 8)).save(folder / "good" / "deeper" / "ä b.png")
    for name in ("good-2", "good bad", "good.3", "Good"):  # DVC orders them as a whole, not folder by folder
        shutil.copytree(folder / "good", folder / name)
    (folder / "good" / ".ipynb_checkpoints").mkdir()
    for name in (".DS_Store", "good/.ipynb_checkpoints/0-checkpoint.png", "good-2/Thumbs.db"):
        (folder / name).write_text("left by a tool")
    shutil.copy(REPOSITORY / ".dvcignore", folder.parent.parent)
    environment = os.environ | {"DVC_SITE_CACHE_DIR": str(folder.parent / "cache")}
    for command in (["init", "--no-scm", "-q"], ["add", "-q", "data/parts"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], check=True, env=environment)
    (out,) = yaml.safe_load((folder.parent / "parts.dvc").read_text())["outs"]
    assert out["md5"] == folders.md5_of(folder) + ".dir"


def test_what_tools_leave_beside_images_is_no_image(folder):
    before = prepared(folder)[0]
    (folder / "good" / ".ipynb_checkpoints").mkdir()
    shutil.copy(folder / "good" / "1.png", folder / "good" / ".ipynb_checkpoints" / "1-checkpoint.png")
    assert np.array_equal(prepared(folder)[0], before)


def test_a_known_hash_is_read_again_only_where_a_file_has_changed(folder, monkeypatch):
    first = folders.known_md5_of(folder)
    assert first == folders.md5_of(folder)
    read = []
    monkeypatch.setattr(folders, "file_md5", lambda path: read.append(path.name) or "0" * 32)
    assert folders.known_md5_of(folder) == first and read == []
    os.utime(folder / "good" / "1.png", (1, 1))
    assert folders.known_md5_of(folder) != first and read == ["1.png"]
    (store,) = folders.KNOWN.iterdir()
    store.write_text("cut o")  # what is known is a convenience
    folders.known_md5_of(folder)
    assert len(read) == 1 + 5


EXPERIMENT = {
    "experiment": "parts",
    "held_out": ["good"],
    "methods": {"mean_image": {}},
}
ENTRY = {"dataset": "image_folder", "folder": "data/parts", "classes": ["good", "Hand Gun"]}


def plan(held_out=("good",), **changes) -> Plan:
    content = EXPERIMENT | {"held_out": list(held_out), "datasets": {"parts": ENTRY | changes}}
    return Plan(config.read(content, where="parts.yaml"))


def test_identity_is_the_content_not_the_place(folder):
    pin = folders.md5_of(folder)
    expected = plan().scores
    assert plan(md5=pin).scores == plan(md5=f"{pin}.dir").scores == plan(folder="data/parts/").scores == expected
    folder.rename(folder.parent / "moved")
    assert plan(folder="data/moved").scores == expected
    assert plan(md5=pin).scores == expected  # pinned, it is planned without the images
    (folder.parent / "moved" / "good" / "0.png").unlink()
    assert not set(plan(folder="data/moved").scores) & set(expected)


def test_classes_by_folder_slug_or_number_are_the_same(folder):
    wanted = [plan(held_out=[name]).scores for name in ("Hand Gun", "hand_gun", 1)]
    assert wanted[0] == wanted[1] == wanted[2] and "/hand_gun/" in wanted[0][0]


def test_an_images_folder_that_is_needed_and_missing_is_one_line(folder):
    pin = folders.md5_of(folder)
    folder.rename(folder.parent / "moved")
    with pytest.raises(HeldoutError, match=r"data/parts is not there.*or bring it: dvc pull data/parts"):
        plan(md5=pin).require_folders()
    with pytest.raises(HeldoutError, match="data/parts is not there, and without its `md5`"):
        plan()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folder": None}, "folder: None is not of type 'string'"),
        ({"md5": "abc"}, "datasets.parts.md5: 'abc' does not match"),
        ({"classes": ["good", "Good"]}, "the classes good, Good are not all told apart in file names"),
        ({"classes": ["good"]}, "datasets.parts.classes: "),
        ({"clases": []}, "did you mean 'classes'"),
    ],
)
def test_a_mistake_in_the_entry_is_one_line(folder, changes, message):
    with pytest.raises(HeldoutError, match=message):
        plan(**changes)


def test_a_required_option_is_asked_for(folder):
    content = EXPERIMENT | {"datasets": {"image_folder": {"classes": ["a", "b"]}}}
    with pytest.raises(HeldoutError, match="datasets.image_folder: image_folder needs 'folder', where it lies"):
        config.read(content, where="parts.yaml")


def test_slugs_are_what_paths_hold():
    assert registry.slug("T-shirt/top") == "t_shirt_top" and registry.slug(" Übergröße 2 ") == "bergr_e_2"
