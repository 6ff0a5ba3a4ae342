"""Folders on other disks: a run writes to each as to its own, and a second run finds nothing to do."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from heldout.storage.files import VERSIONED

pytestmark = pytest.mark.slow

MEMORY = Path("/dev/shm")  # a tmpfs under Linux


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """An empty folder on another file system than the project's."""
    if not MEMORY.is_dir() or MEMORY.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no second file system")
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        yield Path(folder)


def test_every_versioned_folder_may_be_a_link_to_another_disk(unserved, disk):
    for folder in VERSIONED:
        (disk / folder).mkdir(parents=True)
        place = unserved.folder / folder
        shutil.rmtree(place, ignore_errors=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(disk / folder)
    left = disk / "data" / "raw" / ".heldout-abc"  # by a process that was killed
    left.mkdir()
    (left / "lock").touch()
    model = {"dcgan": {"steps": 2, "width": 8}}
    methods = {"mean_image": {}, "discriminator": {"model": "dcgan"}}
    name = unserved.write("linked.yaml", experiment="linked", models=model, methods=methods, held_out=[2])
    unserved.snakemake("--configfile", name)
    for folder in VERSIONED:
        assert (unserved.folder / folder).is_symlink()
        assert any(path.is_file() for path in (disk / folder).rglob("*")), folder
    assert not list(disk.rglob(".heldout-*")) and not list(unserved.folder.rglob(".heldout-*"))
    assert "Nothing to be done" in unserved.snakemake("--configfile", name)
    unserved.run("heldout", "verify")


def test_a_link_to_a_disk_that_is_not_mounted_stops_the_run_before_any_work(unserved, tmp_path):
    place = unserved.folder / "results" / "checkpoints"
    place.parent.mkdir()
    place.symlink_to(tmp_path / "unmounted")
    printed = unserved.snakemake("--configfile", "trial.yaml", ok=False)
    assert "results/checkpoints is a link to" in printed and "mount that disk or correct the link" in printed
    assert "Traceback" not in printed and not (unserved.folder / "results" / "logs").exists()
