"""A file is whole or absent."""

import errno
from pathlib import Path

import pytest

from heldout.errors import HeldoutError
from heldout.storage.files import _umask, temporary_for, whole_file, whole_folder, write_text


def test_a_job_that_dies_leaves_nothing_that_looks_finished(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "results" / "scores" / "a.parquet"
    with pytest.raises(RuntimeError), whole_file(path) as temporary:
        temporary.write_text("half")
        assert not path.exists() and temporary == Path("results/.resume") / temporary.name
        raise RuntimeError
    assert not path.exists() and not list((tmp_path / "results" / ".resume").iterdir())


def test_an_old_file_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "table.csv"
    write_text(path, "old")
    with pytest.raises(RuntimeError), whole_file(path) as temporary:
        temporary.write_text("new")
        raise RuntimeError
    assert path.read_text() == "old" and [entry.name for entry in tmp_path.iterdir()] == ["table.csv"]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    folder = tmp_path / "data" / "raw" / "toy"
    for name in ("one", "two"):
        with whole_folder(folder) as partial:
            (partial / name).touch()
    assert [entry.name for entry in folder.iterdir()] == ["two"]


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
    for whole in (whole_file, whole_folder):
        refusal = pytest.raises(HeldoutError, match="cannot write .*copied: No space left on device; make room")
        with refusal, whole(tmp_path / "copied"):
            raise full


def test_others_may_read_what_a_library_made_private(tmp_path):
    with whole_file(tmp_path / "a") as temporary:
        temporary.touch(mode=0o600)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~_umask()


def test_a_folder_called_data_above_the_project_is_none_of_ours(tmp_path, monkeypatch):
    (tmp_path / "data" / "heldout").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "data" / "heldout")
    assert temporary_for(Path("envs/a.txt")).parent == Path("envs")
    assert temporary_for(Path("results/data/a.txt")).parent == Path("results/.resume")
    assert temporary_for(Path("data/raw/a.txt").absolute()).parent == Path("data/.resume")
