"""A file is whole or absent."""

import errno
import multiprocessing
import os
import tempfile
import time
from pathlib import Path

import pytest

from heldout.errors import HeldoutError
from heldout.storage import files
from heldout.storage.files import _umask, filled_folder, sweep, sweep_all, whole_file, write_text


def test_a_job_that_dies_leaves_nothing_that_looks_finished(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "results" / "scores" / "a.parquet"
    with pytest.raises(RuntimeError), whole_file(path) as temporary:
        temporary.write_text("half")
        assert not path.exists() and temporary.parent.parent == path.parent
        raise RuntimeError
    assert list(path.parent.iterdir()) == []


def test_an_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "table.csv"
    write_text(path, "old")
    with pytest.raises(RuntimeError), whole_file(path) as temporary:
        temporary.write_text("new")
        raise RuntimeError
    assert path.read_text() == "old" and [entry.name for entry in tmp_path.iterdir()] == ["table.csv"]


def test_filling_a_folder_replaces_files_of_the_same_name_and_touches_no_other(tmp_path):
    folder = tmp_path / "data" / "raw" / "toy"
    (folder / "inner").mkdir(parents=True)
    for name in ("of the user", "one", "inner/kept", "inner/two"):
        (folder / name).write_text("old")
    with filled_folder(folder) as partial:
        (partial / "inner").mkdir()
        for name in ("one", "inner/two", "three"):
            (partial / name).write_text("new")
        assert (folder / "one").read_text() == "old"
    found = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
    new = dict.fromkeys(("one", "inner/two", "three"), "new")
    assert found == {"of the user": "old", "inner/kept": "old"} | new


@pytest.mark.parametrize("is_there", [True, False])
def test_filling_that_fails_leaves_what_was_there(tmp_path, is_there):
    folder = tmp_path / "toy"
    if is_there:
        folder.mkdir()
        (folder / "one").write_text("old")
    with pytest.raises(RuntimeError), filled_folder(folder) as partial:
        (partial / "one").write_text("new")
        raise RuntimeError
    assert [(path.name, path.read_text()) for path in folder.glob("*")] == ([("one", "old")] if is_there else [])
    assert folder.exists() == is_there


def hold(path: Path) -> None:
    """Begin to write a file, and never end."""
    with whole_file(path) as temporary:
        temporary.write_text("half")
        time.sleep(600)


@pytest.fixture
def killed(tmp_path):
    """Start a process that writes a file, and return it once it does."""

    def start(path):
        process = multiprocessing.get_context("fork").Process(target=hold, args=(path,))
        process.start()
        while not list(path.parent.glob(".heldout-*/content")):
            time.sleep(0.01)
        return process

    return start


def test_what_a_killed_process_left_is_swept_by_the_next_write_and_what_a_live_one_writes_stays(tmp_path, killed):
    path = tmp_path / "a.csv"
    process = killed(path)
    write_text(tmp_path / "b.csv", "another")
    assert len(list(tmp_path.glob(".heldout-*/content"))) == 1  # the process is alive
    process.kill()
    process.join()
    write_text(path, "whole")
    assert {entry.name for entry in tmp_path.iterdir()} == {"a.csv", "b.csv"}


def test_a_run_sweeps_every_folder_that_runs_write_to(tmp_path, monkeypatch, killed):
    monkeypatch.chdir(tmp_path)
    elsewhere = tmp_path / "another disk"
    elsewhere.mkdir()
    Path("results").mkdir()
    Path("results/checkpoints").symlink_to(elsewhere)
    for path in (Path("results/checkpoints/digits/a"), Path("data/raw/digits/a"), Path("results/trial/tables/a")):
        process = killed(path)
        process.kill()
        process.join()
    assert len(list(tmp_path.rglob(".heldout-*"))) == 3
    sweep_all()
    assert list(tmp_path.rglob(".heldout-*")) == []


def test_a_folder_that_is_not_a_work_folder_is_never_swept(tmp_path):
    for name in (".heldout-mine", ".heldout.partial", "heldout-x"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.txt").write_text("a year of work")
    (tmp_path / ".heldout-link").symlink_to(tmp_path / "heldout-x")
    sweep(tmp_path)
    assert len(list(tmp_path.glob("*/thesis.txt"))) == 4


def test_a_work_folder_that_is_swept_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    """Between the creation of a work folder and its lock, another process may take it for abandoned."""
    make, swept = files.tempfile.mkdtemp, []

    def make_and_sweep(**options):
        folder = make(**options)
        if len(swept) < 3:
            swept.append(folder)
            sweep(tmp_path)
        return folder

    monkeypatch.setattr(files.tempfile, "mkdtemp", make_and_sweep)
    write_text(tmp_path / "a", "text")
    assert len(swept) == 3 and (tmp_path / "a").read_text() == "text"


def test_processes_with_one_number_write_side_by_side(tmp_path, monkeypatch):
    """Two containers on one disk may give two processes the same number."""
    monkeypatch.setattr(os, "getpid", lambda: 7)
    with filled_folder(tmp_path / "one") as one, filled_folder(tmp_path / "one") as other:
        (one / "a").touch()
        (other / "b").touch()
    assert {entry.name for entry in (tmp_path / "one").iterdir()} == {"a", "b"}


@pytest.mark.parametrize("folder", files.VERSIONED)
def test_a_folder_on_another_disk_is_written_to_like_any_other(tmp_path, monkeypatch, folder):
    memory = Path("/dev/shm")
    if not memory.is_dir() or memory.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    monkeypatch.chdir(tmp_path)
    Path(folder).parent.mkdir()
    with tempfile.TemporaryDirectory(dir=memory) as disk:
        Path(folder).symlink_to(disk)
        write_text(Path(folder, "toy", "a"), "text")
        with filled_folder(Path(folder, "toy")) as partial:
            (partial / "b").touch()
        assert {path.name for path in Path(disk, "toy").iterdir()} == {"a", "b"}


def test_a_link_to_a_disk_that_is_not_mounted_is_named(tmp_path):
    (tmp_path / "results").symlink_to(tmp_path / "nowhere")
    for write in (
        lambda: write_text(tmp_path / "results" / "a" / "b", ""),
        lambda: files.make_folder(tmp_path / "results"),
    ):
        with pytest.raises(HeldoutError, match="results is a link to .*nowhere, which is missing; mount that disk or"):
            write()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "results").write_text("a file where a folder should be")
    with pytest.raises(
        HeldoutError, match=r"cannot write .*results/a.csv: (Not a directory|File exists); make room or its"
    ):
        write_text(tmp_path / "results" / "a.csv", "text")


def test_a_file_that_cannot_be_read_is_not_called_unwritable(tmp_path):
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "results" / "a.csv"):
        (tmp_path / "elsewhere").read_text()


def test_a_copy_that_finds_no_room_names_what_it_was_writing(tmp_path):
    full = OSError(errno.ENOSPC, "No space left on device", "/elsewhere/source")
    for whole in (whole_file, filled_folder):
        refusal = pytest.raises(HeldoutError, match="cannot write .*copied: No space left on device; make room")
        with refusal, whole(tmp_path / "copied"):
            raise full


def test_others_may_read_what_a_library_made_private(tmp_path):
    with whole_file(tmp_path / "a") as temporary:
        temporary.touch(mode=0o600)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~_umask()
