"""Files that are called images and are none, and files of an image folder that are not read."""

import io
import os
import subprocess

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image

from heldout.errors import HeldoutError
from tests.datasets import test_image_folder, test_lsun

folder = test_image_folder.folder
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\nshowpage\n%%EOF\n"


def saved(form: str) -> bytes:
    with io.BytesIO() as file:
        Image.new("RGB", (40, 40), (10, 20, 30)).save(file, form)
        return file.getvalue()


def dos_eps() -> bytes:
    """PostScript in the binary header of DOS, with no preview."""
    start = (30).to_bytes(4, "little")
    return b"\xc5\xd0\xd3\xc6" + start + len(POSTSCRIPT).to_bytes(4, "little") + b"\0" * 18 + POSTSCRIPT


OTHER_FORMS = {
    "PostScript": POSTSCRIPT,
    "PostScript of DOS": dos_eps(),
    **{form: saved(form) for form in ("GIF", "PDF", "ICO", "PCX", "PPM", "TGA", "SGI", "JPEG2000", "DDS")},
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40"/>',
    "a WMF that asks for Windows": b"\xd7\xcd\xc6\x9a\0\0" + b"\0" * 40,
    "HTML": b"<html>404</html>",
    "nothing": b"",
    "zeros": b"\0" * 5000,
}


@pytest.fixture(autouse=True)
def no_program_starts(monkeypatch):
    """Reading an image starts no other program."""

    def start(*_, **__):
        raise AssertionError("a program was started")

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", start)
    monkeypatch.setattr(subprocess, "Popen", start)


@pytest.mark.parametrize("content", OTHER_FORMS.values(), ids=OTHER_FORMS)
@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_a_form_that_is_not_wanted_is_not_opened_whatever_its_name(folder, content, ending):
    (folder / "good" / f"9{ending}").write_bytes(content)
    with pytest.raises(HeldoutError, match=rf"good/9{ending} cannot be read as an image") as error:
        test_image_folder.prepared(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content", [POSTSCRIPT, dos_eps(), saved("GIF"), b""], ids=["EPS", "DOS EPS", "GIF", "nothing"]
)
def test_a_database_with_another_form_names_the_key(tmp_path, monkeypatch, content):
    monkeypatch.chdir(tmp_path)
    for name in ("bedroom_train", "bedroom_val", "tower_val"):
        values = [
            test_lsun.encoded(test_lsun.noise(0), lossless=True),
            content if name == "tower_val" else saved("PNG"),
        ]
        test_lsun.write(tmp_path / "lsun" / f"{name}_lmdb", values)
    with pytest.raises(HeldoutError, match=f"tower_val_lmdb: the image {test_lsun.key_of(1).decode()} cannot be read"):
        test_lsun.prepared(tmp_path / "lsun")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "MPO"])
def test_a_wanted_form_under_another_ending_is_read(folder, form):
    """What a file is, its first bytes say; cameras write MPO, which begins as a JPEG does."""
    (folder / "good" / "9.png").write_bytes(saved(form))
    images, _ = test_image_folder.prepared(folder, channels=3)
    assert np.abs(images[3, :, 16, 16].astype(int) - [10, 20, 30]).max() < 5


def test_files_that_are_not_read_are_named_with_their_number(folder, capsys):
    for name in ("a.gif", "notes.txt", "README"):
        (folder / "good" / name).write_text("none")
    (folder / "good" / "gone.png").symlink_to("/nowhere/gone.png")
    images, _ = test_image_folder.prepared(folder)
    assert len(images) == 5
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("not read")]
    assert len(lines) == 2
    assert "link to a missing file: good/gone.png (1 files)" in lines[0]
    assert ".webp: good/README, good/a.gif, good/notes.txt (3 files)" in lines[1]


def test_many_files_that_are_not_read_are_one_short_line(folder, capsys):
    for number in range(500):
        (folder / "good" / f"{number}.{'x' * 100}").touch()
    test_image_folder.prepared(folder)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("not read")]
    assert "(500 files)" in line and len(line) < 1000


@pytest.mark.parametrize("special", [os.mkfifo, lambda path: path.mkdir()], ids=["a pipe", "a folder"])
def test_what_is_no_file_is_not_waited_for(folder, special):
    special(folder / "good" / "9.png")
    assert len(test_image_folder.prepared(folder)[0]) == 5
