"""A folder of a user's own images, of every form that Pillow reads, and the hash that pins it."""

import os
import re
import shutil
import struct
import subprocess
import sys
import zlib
from collections import Counter

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from heldout.errors import HeldoutError
from heldout.networks import dcgan
from heldout.networks.shape import ImageShape
from heldout.numerics.pixels import to_unit_range
from heldout.planning.identity import source_digest
from heldout.planning.plan import Plan
from heldout.planning.resolve import resolve
from heldout.planning.tasks import slug
from heldout.planning.wiring import Wiring
from heldout.stages.prepare import prepare
from heldout.storage import folders
from heldout.storage.labels import read_labels
from heldout.storage.specs import PrepareSpec
from tests.conftest import REPOSITORY

SCENES = (
    *("bedroom", "bridge", "church_outdoor", "classroom", "conference_room", "dining_room", "kitchen", "living_room"),
    *("restaurant", "skyscraper"),
)
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


def transparent_palette():
    """A picture of one colour that its palette calls transparent."""
    image = Image.new("RGB", (50, 40), (10, 20, 30)).quantize(2)
    image.info["transparency"] = image.getpixel((0, 0))
    return image


def prepared(folder, **options):
    options = {"size": 32, "channels": 1, "classes": ["good", "Hand Gun"], "md5": folders.md5_of(folder)} | options
    source = source_digest("prepare", "image_folder")
    images, labels = folder.parent / "images.npy", folder.parent / "images.labels.csv"
    prepare(PrepareSpec(dataset="image_folder", options=options, files={}, source=source), folder, images, labels)
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
        ("colour.tif", Image.new("RGB", (1, 90), (10, 20, 30)), [10, 20, 30]),
        ("two_levels.png", Image.new("1", (50, 40), 1), [255] * 3),
        ("transparent_colour.png", transparent_palette(), [0, 0, 0]),
        ("grey_half_transparent.png", Image.new("LA", (50, 40), (200, 128)), [100] * 3),
        ("big_endian.tif", Image.fromarray(np.full((40, 50), 25607, ">u2")), [100] * 3),
        ("print.tif", Image.new("CMYK", (50, 40), (255, 0, 0, 0)), [0, 255, 255]),
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


def test_sixteen_bit_colour_keeps_the_upper_eight(folder):
    """Pillow writes none, so the file is put together here: 40x40 pixels of 3 x 16 bits, uncompressed rows."""

    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = (b"\0" + struct.pack(">HHH", 0x64FF, 0xC800, 0x3201) * 40) * 40
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 40, 40, 16, 2, 0, 0, 0))
    content = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (folder / "good" / "9.png").write_bytes(content)
    assert prepared(folder, channels=3)[0][3, :, 5, 5].tolist() == [0x64, 0xC8, 0x32]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_stands_upright(folder, form, orientation):
    upright = np.zeros((32, 32), np.uint8)
    upright[:8, :24] = 200  # no turn or mirroring of it is itself
    # What a camera stores, by the EXIF standard: the side where the upright image's row 0 and column 0 end up.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: upright[:, ::-1].T,
        7: upright[::-1, ::-1].T,
        8: upright[::-1].T,
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    name = f"9.{form.lower()}"
    Image.fromarray(np.ascontiguousarray(stored)).convert("RGB").save(folder / "good" / name, form, exif=exif)
    found = prepared(folder)[0][3, 0]
    assert np.array_equal(found > 100, upright > 100)  # lossy forms blur the edges; these lie on whole blocks of 8


@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_every_size_fits_the_networks(folder, size):
    images, _ = prepared(folder, size=size)
    assert images.shape == (5, 1, size, size) and images[2].min() == images[2].max() == 20
    shape = ImageShape(1, size)
    seen = to_unit_range(torch.from_numpy(images))
    z = dcgan.Encoder(8, 2, shape)(seen)
    assert z.shape == (5, 8) and dcgan.Generator(8, 2, shape)(z).shape == seen.shape
    assert dcgan.Discriminator(2, shape, batch_norm=True)(seen).shape == (5,)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "good" / "9.png").write_bytes(b"no image"), "good/9.png cannot be read as an image"),
        (
            lambda folder: shutil.copytree(folder / "good", folder / "scratched"),
            "parts/scratched is not a class of this experiment; add 'scratched'",
        ),
        (lambda folder: (folder / "good" / "link").symlink_to(folder / "Hand Gun"), "good/link is a link to a folder"),
        (lambda folder: Image.new("F", (40, 40), 0.7).save(folder / "good" / "9.tiff"), "9.tiff has 32 bits per pixel"),
        (lambda folder: Image.new("I", (40, 40), 200).save(folder / "good" / "9.tiff"), "9.tiff has 32 bits per pixel"),
        (lambda folder: [path.unlink() for path in (folder / "good").iterdir()], "parts/good contains no images"),
        (lambda folder: [path.unlink() for path in folder.rglob("*.png")], "parts/good contains no images"),
        (lambda folder: shutil.rmtree(folder / "good"), "parts: no folder 'good'; there are: Hand Gun"),
        (lambda folder: (folder / "good").rename(folder / "goods"), "parts: no folder 'good'; did you mean 'goods'?"),
        (lambda folder: (folder / "good" / "0.png").rename(folder / "0.png"), "parts/0.png is not in a class folder"),
        (
            lambda folder: [shutil.copy(folder / "good" / "0.png", folder / name) for name in ("a.png", "b.png")],
            "parts/a.png, .*parts/b.png are not in a class folder; put them into one",
        ),
        (
            lambda folder: [shutil.copytree(folder / "good", folder / name) for name in ("bent", "worn")],
            "parts/bent, .*parts/worn are not classes of this experiment; add 'bent', 'worn' to `classes`",
        ),
        (
            lambda folder: shutil.copytree(folder / "good", folder / "test" / "good"),
            "parts contains the folders test, Hand Gun; it may contain either a folder per class, or train and test",
        ),
    ],
)
def test_a_folder_that_will_not_do_is_one_line(folder, spoil, message):
    spoil(folder)
    with pytest.raises(HeldoutError, match=message):
        prepared(folder)
    assert not (folder.parent / "images.npy").exists()


def put_into_parts(folder, test="test"):
    """Move the classes into `train`, but for an image of `good`, and all of a class `bent` that is in `test` alone."""
    (folder / "train").mkdir()
    for name in ("good", "Hand Gun"):
        (folder / name).rename(folder / "train" / name)
    for name, source in {"good/2.png": "good/2.png", "bent/1.png": "good/1.png"}.items():
        (folder / test / name).parent.mkdir(parents=True)
        shutil.copy(folder / "train" / source, folder / test / name)
    (folder / "train" / "good" / "2.png").unlink()


CLASSES_OF_PARTS = ["Hand Gun", "good", "bent"]


@pytest.mark.parametrize("test", ["test", "val"])
def test_folders_for_training_and_testing_are_the_official_parts(folder, test):
    put_into_parts(folder, test)
    images, labels = prepared(folder, classes=CLASSES_OF_PARTS)
    assert images[:, 0, 0, 0].tolist() == [0, 10, 0, 10, 20, 10]
    assert labels.classes.tolist() == ["hand_gun", "hand_gun", "good", "good", "good", "bent"]
    assert labels.official_test.tolist() == [False] * 4 + [True] * 2


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda folder: (folder / "test").rename(folder / "aside"),
            "parts contains the folders train, aside; it may contain",
        ),
        (lambda folder: shutil.rmtree(folder / "test"), "parts contains the folders train; it may contain either"),
        (lambda folder: shutil.rmtree(folder / "train"), "parts contains the folders test; it may contain either"),
        (
            lambda folder: shutil.copytree(folder / "test", folder / "val"),
            "parts contains the folders test, train, val; it may contain either",
        ),
        (
            lambda folder: shutil.copytree(folder / "test" / "bent", folder / "test" / "broken"),
            "parts/test/broken is not a class of this experiment; add 'broken'",
        ),
        (
            lambda folder: (folder / "test" / "bent").rename(folder / "test" / "bend"),
            "parts/train and .*parts/test: no folder 'bent'; did you mean 'bend'?",
        ),
        (lambda folder: (folder / "test" / "bent" / "1.png").unlink(), r"parts/\*/bent contains no images"),
        (
            lambda folder: shutil.copy(folder / "test" / "bent" / "1.png", folder / "test"),
            "parts/test/1.png is not in a class folder",
        ),
    ],
)
def test_parts_that_will_not_do_are_one_line(folder, spoil, message):
    put_into_parts(folder)
    spoil(folder)
    with pytest.raises(HeldoutError, match=message):
        prepared(folder, classes=CLASSES_OF_PARTS)
    assert not (folder.parent / "images.npy").exists() and not (folder.parent / "images.labels.csv").exists()


def test_a_class_may_be_called_train(folder):
    (folder / "Hand Gun").rename(folder / "train")
    images, labels = prepared(folder, classes=["good", "train"])
    assert labels.classes.tolist() == ["good"] * 3 + ["train"] * 2 and not labels.official_test.any()
    classes = folder.rename(folder.parent / "classes")
    for part in ("train", "test"):
        shutil.copytree(classes, folder / part)
    _, labels = prepared(folder, classes=["good", "train"])
    assert labels.classes.tolist() == (["good"] * 3 + ["train"] * 2) * 2 and labels.official_test.sum() == 5


def test_both_classes_may_be_called_as_parts_are(folder):
    (folder / "Hand Gun").rename(folder / "train")
    (folder / "good").rename(folder / "test")
    _, labels = prepared(folder, classes=["test", "train"])
    assert labels.classes.tolist() == ["test"] * 3 + ["train"] * 2 and not labels.official_test.any()


FORMS = {".bmp": "BMP", ".jpg": "JPEG", ".png": "PNG", ".tif": "TIFF", ".webp": "WEBP"}


@pytest.mark.parametrize("ending", FORMS)
def test_a_truncated_image_of_every_form_is_named_or_skipped(folder, ending, capsys):
    expected = prepared(folder)[0]
    path = folder / "good" / f"1x{ending}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)).save(path, FORMS[ending])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(
        HeldoutError, match=f"good/1x{ending} cannot be read as an image .*or set skip_unreadable: true"
    ):
        prepared(folder)
    capsys.readouterr()
    images, labels = prepared(folder, skip_unreadable=True)
    assert np.array_equal(images, expected) and labels.classes.tolist() == ["good"] * 3 + ["hand_gun"] * 2
    listed, count = capsys.readouterr().err.splitlines()
    assert re.fullmatch(f"skipped: {path} cannot be read as an image .*", listed)
    assert count == "1 of 6 images skipped"


def test_a_class_of_damaged_images_alone_is_refused(folder):
    for path in (folder / "good").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(HeldoutError, match="parts: no readable image of the class 'good'"):
        prepared(folder, skip_unreadable=True)


def test_a_truncated_image_is_named(folder):
    path = folder / "good" / "1.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(HeldoutError, match="good/1.png cannot be read as an image"):
        prepared(folder)


def test_another_content_than_the_pinned_is_refused_with_both_hashes(folder):
    pinned = folders.md5_of(folder)
    (folder / "good" / "0.png").unlink()
    found = folders.md5_of(folder)
    with pytest.raises(HeldoutError, match=f"its md5 is {found}, not {pinned}; restore them .*dvc checkout"):
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
    return Plan(resolve(content, where="parts.yaml"))


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
    with pytest.raises(HeldoutError, match=r"data/parts is missing.*or fetch it: dvc pull data/parts"):
        Wiring(plan(md5=pin)).require_folders()
    with pytest.raises(HeldoutError, match="data/parts is missing, and without its `md5`"):
        plan()


def test_an_archive_is_no_folder(folder):
    archive = shutil.make_archive(str(folder), "zip", folder)
    for entry in ({"folder": "data/parts.zip"}, {"folder": "data/parts.zip", "md5": "0" * 32}):
        with pytest.raises(HeldoutError, match=r"parts.zip is a file; unpack it if it is an archive, and set `folder"):
            Wiring(plan(**entry)).require_folders()
    assert archive.endswith("data/parts.zip")


def test_which_classes_are_normal_changes_no_image(folder):
    (changed,) = plan(normal=["good"]).images
    assert [changed] == plan().images


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"normal": ["god"]}, "datasets.parts.normal: no entry of `classes` 'god'; did you mean 'good'?"),
        ({"normal": "good"}, "datasets.parts.normal: 'good' is not valid"),
        ({"size": 48}, r"datasets.parts.size: 48 is not one of \[32, 64, 128, 256\]"),
        ({"classes": ["good"]}, r"datasets.parts.classes: at least 2 are needed, not \['good'\]"),
        ({"folder": None}, "folder: expected a value, but it is null or empty"),
        ({"md5": "abc"}, "datasets.parts.md5: 'abc' does not match"),
        ({"classes": ["good", "Good"]}, "the classes good, Good have the same name in file names"),
        ({"classes": ["good"]}, "datasets.parts.classes: "),
        ({"clases": []}, "did you mean 'classes'"),
    ],
)
def test_a_mistake_in_the_entry_is_one_line(folder, changes, message):
    with pytest.raises(HeldoutError, match=message):
        plan(**changes)


def test_a_required_option_is_asked_for(folder):
    content = EXPERIMENT | {"datasets": {"image_folder": {"classes": ["a", "b"]}}}
    with pytest.raises(HeldoutError, match="datasets.image_folder: image_folder needs 'folder', its path"):
        resolve(content, where="parts.yaml")


def test_slugs_are_what_paths_hold():
    assert slug("T-shirt/top") == "t_shirt_top" and slug(" Übergröße 2 ") == "bergr_e_2"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "test", "channels", "counts"),
    [
        ("scenes", "val", 3, dict.fromkeys(SCENES, (450, 100))),
        ("xray", "test", 1, {"other": (600, 400), **dict.fromkeys(("handgun", "shuriken", "razor_blade"), (600, 100))}),
    ],
)
def test_real_photographs_are_read_with_their_official_parts(name, test, channels, counts, mirror, tmp_path):
    if not (mirror / name).is_dir():
        pytest.skip(f"the mirror has no folder {name}")
    options = {"size": 64, "channels": channels, "classes": list(counts), "md5": folders.md5_of(mirror / name)}
    source = source_digest("prepare", "image_folder")
    images, labels = tmp_path / "images.npy", tmp_path / "images.labels.csv"
    prepare(
        PrepareSpec(dataset="image_folder", options=options, files={}, source=source), mirror / name, images, labels
    )
    read = read_labels(labels)
    for part, is_test in enumerate((False, True)):
        found = Counter(read.classes[read.official_test == is_test].tolist())
        assert found == {name: count[part] for name, count in counts.items()}
    first = min((mirror / name / "train" / next(iter(counts))).iterdir())
    with Image.open(first) as image:
        expected = np.atleast_3d(np.asarray(image.resize((64, 64), Image.Resampling.BILINEAR))).transpose(2, 0, 1)
    assert np.array_equal(np.load(images, mmap_mode="r")[0], expected)
