"""Damage is found and named; saving brings what is recorded and leaves what is here."""

import json
import shutil
from pathlib import Path

import pytest

from heldout.errors import HeldoutError
from heldout.project import dvc_records
from heldout.project.save import save, to_fetch
from heldout.project.verify import remedy, verify
from heldout.storage.hashing import file_md5
from heldout.storage.sealed import write_sealed
from heldout.storage.sidecars import SPEC, sidecar
from tests.project.conftest import make, planned, retime


@pytest.fixture
def run(folder):
    """A run whose training and scorings are there."""
    run = planned().runs[0]
    for step in (*run.trainings.values(), *run.scorings.values()):
        make(step)
    return run


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_whole_files_pass(run):
    result = verify({})
    assert len(result.checked) == 3 and not result.damaged and not result.unsaved


@pytest.mark.parametrize("at", [0, 200, -1])
@pytest.mark.parametrize("kind", ["trainings", "scorings"])
def test_one_flipped_byte_is_named(run, kind, at):
    path = Path(next(iter(getattr(run, kind).values())).path)
    flip(path, at)
    damaged = verify({}).damaged
    assert damaged.keys() == {path} and "SHA-256 is not" in damaged[path]
    with pytest.raises(HeldoutError, match=f"{path} is damaged: SHA-256 is not .* Nothing was saved"):
        save()


def test_a_forged_spec_does_not_help(run):
    """Even with the hash put right, what is inside the file gives it away."""
    path = Path(run.trainings["wgan"].path)
    other = make(planned(seeds=[3]).runs[0].trainings["wgan"])
    beside = json.loads(sidecar(path, SPEC).read_text())
    shutil.copy(other, path)
    beside["sha256"] = json.loads(sidecar(other, SPEC).read_text())["sha256"]
    write_sealed(sidecar(path, SPEC), beside)
    assert verify({}).damaged == {path: f"it holds {other.stem.partition('-')[2]}"}


def test_a_missing_or_broken_spec_is_damage(run):
    paths = [Path(step.path) for step in run.scorings.values()]
    sidecar(paths[0], SPEC).unlink()
    sidecar(paths[1], SPEC).write_text("{")
    assert verify({}).damaged.keys() == set(paths)


def test_a_copy_elsewhere_hides_no_damage(run):
    path = Path(run.trainings["wgan"].path)
    shutil.copytree("results/checkpoints/mnist5k", "results/checkpoints/backup")
    flip(path, -1)
    assert verify({}).damaged.keys() == {path}


def test_dvcs_records_count_too(run, monkeypatch, tmp_path):
    path = Path(run.trainings["wgan"].path)
    timing, spec, images = path.with_suffix(".timing.json"), sidecar(path, SPEC), Path("data/raw/images.gz")
    images.parent.mkdir(parents=True)
    images.write_text("images")
    recorded = {str(item): file_md5(item) for item in (path, timing, spec, images)}
    in_cache = tmp_path / recorded[str(timing)]
    monkeypatch.setattr(dvc_records, "cached", lambda md5: tmp_path / md5)
    result = verify(recorded | {"results/scores/gone.parquet": "0" * 32})
    assert len(result.checked) == 6 and not result.damaged and not result.unsaved
    shutil.copy(timing, in_cache)
    shutil.copy(spec, tmp_path / recorded[str(spec)])
    retime(run.trainings["wgan"], wall_s=30.0)  # as a training made anew would leave it
    images.write_text("other images")
    result = verify(recorded)
    assert result.unsaved == [timing, spec]
    assert result.damaged == {images: f"MD5 is not the {recorded[str(images)]} that dvc.lock records"}
    in_cache.write_text("{}")  # as a link to the cache would be
    result = verify(recorded)
    assert result.unsaved == [spec] and result.damaged.keys() == {timing, images, in_cache}


def test_the_remedy_removes_what_stands_beside_a_file_too():
    assert remedy(Path("results/scores/a/adgan-0123456789ab.parquet")) == "rm results/scores/a/adgan-0123456789ab.*"
    assert remedy(Path("data/raw/mnist/fetched.json")) == "rm data/raw/mnist/fetched.json"
    assert remedy(Path(".dvc/cache/files/md5/ab/cdef")) == "rm .dvc/cache/files/md5/ab/cdef"


def test_saving_brings_what_is_gone_and_leaves_what_was_made_here(run):
    recorded = {str(path): file_md5(path) for path in Path("results").rglob("*") if path.is_file()}
    recorded |= {"data/raw/mnist5k/fetched.json": "0" * 32}
    training, scoring, floor = (
        Path(step.path) for step in (run.trainings["wgan"], run.scorings["adgan"], run.scorings["mean_image"])
    )
    assert to_fetch(recorded) == ["data/raw/mnist5k/fetched.json"]
    training.unlink()  # gone, and what stands beside it is another's
    training.with_suffix(".timing.json").write_text("{}")
    scoring.with_suffix(".spec.json").unlink()  # gone from beside the recorded file
    flip(floor, -1)  # made here, under the same digest
    floor.with_suffix(".timing.json").unlink()
    expected = {"data/raw/mnist5k/fetched.json", str(training), str(training.with_suffix(".timing.json"))}
    assert set(to_fetch(recorded)) == expected | {str(scoring.with_suffix(".spec.json"))}


def test_without_a_lock_nothing_is_recorded(folder):
    assert dvc_records.recorded() == {}
