"""Every command that writes, on a disk that is full and on one that can only be read: one line, and no half file.

The disks are real: a child process mounts them in a namespace of its own, where they vanish with it.
"""

import contextlib
import ctypes
import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from heldout.errors import one_line
from heldout.planning import inputs_json
from heldout.planning.steps import PrepareStep, ScoreStep, SplitStep, Step, TrainStep
from tests.faults.finished import Finished, typed

CAPABILITIES = 0x20080522  # the version of capset's arguments
NEW_MOUNTS, NEW_USER = 0x00020000, 0x10000000  # of Linux's unshare


def full(folder: Path) -> None:
    """Copy a folder to a small disk in memory and mount that in its place, with no byte left."""
    size = sum(path.stat().st_size + 8192 for path in folder.rglob("*")) + 65536
    copy = folder.parent / "copy"
    shutil.copytree(folder, copy, symlinks=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=True)
    shutil.copytree(copy, folder, symlinks=True, dirs_exist_ok=True)
    with contextlib.suppress(OSError), open(folder / "everything else", "wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)


def read_only(folder: Path) -> None:
    for options in (["--bind"], ["-o", "remount,ro,bind"]):
        subprocess.run(["mount", *options, folder, folder], check=True)


def not_permitted(folder: Path) -> None:
    """Take away the permission to write, and from root the capability to write all the same."""
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o555)
    version, sets = (ctypes.c_uint32 * 2)(CAPABILITIES, 0), (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None, use_errno=True).capset(version, sets):
        raise OSError(ctypes.get_errno(), "capabilities cannot be dropped")


DISKS = {
    "full": (full, "No space left on device"),
    "read-only": (read_only, "Read-only file system"),
    "not permitted": (not_permitted, "Permission denied"),
}


def in_namespace(call: Callable[[], None], log: Path) -> None:
    """Call in a mount namespace of this process's own; all that it prints goes to `log`."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    sys.stdout = sys.stderr = os.fdopen(descriptor, "w")
    user, group = os.getuid(), os.getgid()
    if ctypes.CDLL(None, use_errno=True).unshare(NEW_MOUNTS | (NEW_USER if user else 0)):
        raise OSError(ctypes.get_errno(), "no namespace of its own")
    if user:
        for name, content in {"setgroups": "deny", "uid_map": f"0 {user} 1", "gid_map": f"0 {group} 1"}.items():
            Path("/proc/self", name).write_text(content)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    call()
    sys.stdout.flush()


def ended(call: Callable[[], None], log: Path) -> tuple[int | None, str]:
    """Return the exit status and the output of a call in a child process."""
    child = multiprocessing.get_context("fork").Process(target=in_namespace, args=(call, log))
    child.start()
    child.join()
    return child.exitcode, log.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def namespaces(tmp_path_factory) -> None:
    folder = tmp_path_factory.mktemp("namespaces")
    status, printed = ended(lambda: read_only(folder), folder.parent / "namespaces.log")
    if status:
        pytest.skip(f"no disk can be mounted here: {printed.strip()[-100:]}")


def first(finished: Finished, kind: type[Step], name: str = "") -> list[str]:
    """Return the command of a step whose result is removed."""
    step = next(step for step in finished.plan.steps.values() if isinstance(step, kind) and name in step.path)
    Path(step.path).unlink()
    return finished.command(step)


def tables(finished: Finished) -> list[str]:
    for path in Path("results/trial/records").glob("tables-*"):
        path.unlink()  # its deletion would make room for small tables
    return finished.report("tables")


def listing(finished: Finished) -> Callable[[], object]:
    for path in Path("results/.resume").iterdir():
        path.unlink()
    return lambda: inputs_json.write(finished.plan)


# By what is written: the folder on the other disk, and the command, or a function that writes.
WRITING: dict[str, tuple[str, Callable[[Finished], list[str] | Callable[[], object]]]] = {
    "fetched files": ("data/raw", lambda finished: ["fetch", "digits", "--folder", "data/raw/digits"]),
    "a prepared array": ("data/prepared", lambda finished: first(finished, PrepareStep)),
    "a split": ("data/splits", lambda finished: first(finished, SplitStep)),
    "a checkpoint": ("results/checkpoints", lambda finished: first(finished, TrainStep, "dcgan")),
    "a saved state": ("results/.resume", lambda finished: [*first(finished, TrainStep, "dcgan"), "--save-every", "0"]),
    "scores": ("results/scores", lambda finished: first(finished, ScoreStep, "discriminator")),
    "scores without a checkpoint": ("results/scores", lambda finished: first(finished, ScoreStep, "mean_image")),
    "combined scores": ("results/scores", lambda finished: first(finished, ScoreStep, "combine")),
    "metrics": ("results/trial", lambda finished: finished.report("evaluate")),
    "tables": ("results/trial", tables),
    "a figure": ("results/trial", lambda finished: finished.report("figure_gallery")),
    "a manifest": ("results/trial", lambda finished: finished.report("manifest")),
    "the list of inputs": ("results/.resume", listing),
}


@pytest.mark.parametrize(("spoil", "reason"), DISKS.values(), ids=DISKS)
@pytest.mark.parametrize(("folder", "prepare"), WRITING.values(), ids=WRITING)
def test_a_disk_that_cannot_be_written_to_is_one_line(namespaces, finished, tmp_path, folder, prepare, spoil, reason):
    Path(folder).mkdir(parents=True, exist_ok=True)
    writing = prepare(finished)
    before = set(Path(folder).rglob("*"))

    def write() -> None:
        spoil(Path(folder).absolute())
        with one_line():
            if callable(writing):
                writing()
            else:
                typed(writing)

    status, printed = ended(write, tmp_path / "log")
    lines = [line for line in printed.splitlines() if line.startswith("heldout: error: ")]
    assert status == 1 and len(lines) == 1, printed
    assert f"cannot write {folder}" in lines[0] and reason in lines[0] and "make room" in lines[0]
    assert "Traceback" not in printed and len(lines[0]) < 500
    assert set(Path(folder).rglob("*")) == before
