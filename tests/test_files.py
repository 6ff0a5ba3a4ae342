"""A file is whole or absent."""

import pytest

from heldout.errors import HeldoutError
from heldout.files import whole_file, whole_folder, write_if_changed, write_text


def test_a_job_that_dies_leaves_nothing_that_looks_finished(tmp_path):
    path = tmp_path / "results" / "scores" / "a.parquet"
    with pytest.raises(RuntimeError), whole_file(path) as temporary:
        temporary.write_text("half")
        assert not path.exists() and temporary.parent == tmp_path / "results" / ".resume"
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


def test_unchanged_content_keeps_its_modification_time(tmp_path):
    path = tmp_path / "inputs.json"
    write_if_changed(path, "a")
    before = path.stat().st_mtime_ns
    write_if_changed(path, "a")
    assert path.stat().st_mtime_ns == before
    write_if_changed(path, "b")
    assert path.read_text() == "b"
