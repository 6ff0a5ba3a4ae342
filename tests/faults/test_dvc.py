"""Objects that DVC records and that are missing or damaged in its cache and its remote."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from heldout.errors import HeldoutError
from heldout.project import dvc_records
from heldout.storage.files import VERSIONED
from heldout.storage.hashing import file_md5
from tests.conftest import REPOSITORY

FILE = "results/scores/trial/a.parquet"
CONTENT = b"scores"


@pytest.fixture(scope="module")
def recorded_folder(tmp_path_factory) -> Path:
    """A project whose files DVC has recorded and pushed; the project lacks one, and its cache is empty."""
    folder = tmp_path_factory.mktemp("team") / "clone"
    folder.mkdir()
    for name in (".dvc", ".dvcignore", "dvc.yaml", "config.yaml", "Snakefile", "profiles"):
        copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy
        copy(REPOSITORY / name, folder / name)
    for name in ("cache", "tmp", "config.local"):
        shutil.rmtree(folder / ".dvc" / name, ignore_errors=True)
        (folder / ".dvc" / name).unlink(missing_ok=True)
    (folder / "workflow").mkdir()
    for name in (*VERSIONED, "workflow"):
        (folder / name / "trial").mkdir(parents=True)
        (folder / name / "trial" / "file").write_text(name)
    (folder / FILE).write_bytes(CONTENT)
    for command in (["config", "--local", "core.no_scm", "true"], ["commit", "--force", "snakemake"], ["push"]):
        subprocess.run([sys.executable, "-m", "dvc", *command], cwd=folder, check=True, capture_output=True)
    shutil.rmtree(folder / ".dvc" / "cache")
    (folder / FILE).unlink()
    return folder


@pytest.fixture
def remote(recorded_folder, tmp_path, monkeypatch) -> Path:
    """The object of the missing file in the remote; the project is the working directory."""
    shutil.copytree(recorded_folder.parent, tmp_path / "team")
    monkeypatch.chdir(tmp_path / "team" / "clone")
    (found,) = [path for path in (tmp_path / "team").glob("heldout-storage/**/*") if is_object(path)]
    return found


def is_object(path: Path) -> bool:
    return path.is_file() and path.read_bytes() == CONTENT


def fetched() -> None:
    dvc_records.fetch({FILE: dvc_records.recorded()[FILE]})


def test_a_recorded_file_is_fetched_from_the_remote(remote):
    fetched()
    assert Path(FILE).read_bytes() == CONTENT


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


OBJECTS = {
    "missing": (Path.unlink, f"{FILE} that dvc.lock records is neither in DVC's cache nor in its remote"),
    "a dangling link": (lambda path: (path.unlink(), path.symlink_to("/nowhere")), "neither in DVC's cache nor in its"),
    "cut off": (lambda path: replace(path, CONTENT[:-1]), f"the copy of {FILE} .* is damaged"),
    "empty": (lambda path: replace(path, b""), f"the copy of {FILE} .* is damaged"),
    "a bit flipped": (lambda path: replace(path, b"Scores"), f"the copy of {FILE} .* is damaged"),
    "a folder": (as_folder, f"the copy of {FILE} .* is damaged"),
}


def replace(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


@pytest.mark.parametrize(("damage", "line"), OBJECTS.values(), ids=OBJECTS)
def test_an_object_that_will_not_do_is_named_and_no_file_appears(remote, damage, line):
    before = {path: file_md5(path) for path in Path("results").rglob("*") if path.is_file()}
    damage(remote)
    with pytest.raises(HeldoutError, match=line) as error:
        fetched()
    assert "\n" not in str(error.value) and "make room" not in str(error.value) and len(str(error.value)) < 600
    assert {path: file_md5(path) for path in Path("results").rglob("*") if path.is_file()} == before


def test_a_list_of_files_that_is_missing_is_named(remote):
    for path in remote.parents[1].rglob("*.dir"):
        path.unlink()
    with pytest.raises(HeldoutError, match=r"that dvc.lock records is neither in DVC's cache nor in its remote"):
        dvc_records.recorded()
