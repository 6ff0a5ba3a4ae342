"""Writes files atomically: in a hidden work folder beside the target, thus on the same disk, then renamed.

git and DVC ignore work folders. The process that writes holds a lock in its work folder, which the operating system
releases when the process ends for any reason. So any other process, also in another container or on another node, can
tell an abandoned folder from one in use.
"""

import errno
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from heldout import shapes_no_number
from heldout.errors import HeldoutError

SCRATCH = ".resume"  # in `data` and `results`, for what outlives a process and is not versioned
# The outputs of the stage in dvc.yaml.
VERSIONED = ("data/raw", "data/prepared", "data/splits", "results/checkpoints", "results/scores")
WORK_PREFIX = ".heldout-"  # of the names of work folders
LOCK, CONTENT = "lock", "content"
READABLE = 0o666
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
UNSYNCED = (errno.EINVAL, errno.ENOTSUP, errno.EBADF)  # from file systems that cannot sync folders


@shapes_no_number
@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` when the block ends without an exception.

    Raises:
        HeldoutError: the folder cannot be written to, or the disk is full.
    """
    path = Path(path)
    with _clear_about(path), _work_folder(path.parent) as folder:
        temporary = folder / CONTENT
        yield temporary
        temporary.chmod(READABLE & ~_umask())  # some libraries create files that only their owner may read
        _sync(temporary)  # else a power cut may leave the new name with an empty file
        os.replace(temporary, path)
        _sync(path.parent)


@shapes_no_number
@contextmanager
def filled_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder; move its content to `path` when the block ends without an exception.

    A file of the same name is replaced; nothing else in `path` is touched, and no folder is deleted. An inner folder
    that `path` lacks appears as a whole.

    Raises:
        HeldoutError: the folder cannot be written to, or the disk is full.
    """
    path = Path(path)
    is_new = not path.exists()
    with _clear_about(path):
        try:
            with _work_folder(path) as folder:
                temporary = folder / CONTENT
                temporary.mkdir()
                yield temporary
                for written in (*temporary.rglob("*"), temporary):
                    _sync(written)
                _move_into(temporary, path)
        finally:
            if is_new:
                with suppress(OSError):  # it holds files by now
                    path.rmdir()


@shapes_no_number
def make_folder(path: Path) -> None:
    """Create a folder with those above it.

    Raises:
        HeldoutError: it cannot be created.
    """
    with _clear_about(path):
        path.mkdir(parents=True, exist_ok=True)


@shapes_no_number
def delete(path: Path) -> None:
    """Delete a file if it is there.

    Raises:
        HeldoutError: its folder cannot be written to.
    """
    with _clear_about(path):
        path.unlink(missing_ok=True)


@shapes_no_number
def sweep(folder: Path) -> None:
    """Delete the work folders of ended processes that lie directly in `folder`."""
    for left in folder.glob(f"{WORK_PREFIX}*"):
        # An error means that a process holds it, it is gone by now, or it is another user's.
        with suppress(OSError), open(left / LOCK, "r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
        with suppress(OSError):  # only an empty folder: its process ended before it made the lock
            left.rmdir()


def sweep_all() -> None:
    """Delete the work folders of ended processes in the folders that runs write to."""
    for top in (*VERSIONED, "results"):  # `results` does not lead to folders on other disks that are links
        for folder, inner, _ in os.walk(top):
            if any(name.startswith(WORK_PREFIX) for name in inner):
                sweep(Path(folder))
            inner[:] = [name for name in inner if not name.startswith(WORK_PREFIX)]


def bring_to_now(folders: Iterable[str]) -> None:
    """Give each file from the future the present time: Snakemake discards what a job makes from such an input."""
    now = time.time()
    for top in folders:
        for folder, _, names in os.walk(top):
            for path in (Path(folder, name) for name in names):
                with suppress(OSError):  # gone, or another user's
                    if path.stat().st_mtime > now:
                        os.utime(path, (now, now))


@contextmanager
def _work_folder(parent: Path) -> Iterator[Path]:
    """Yield a new folder in `parent` that this process holds; delete it at the end."""
    parent.mkdir(parents=True, exist_ok=True)
    sweep(parent)
    folder, lock = _locked_folder(parent)
    try:
        yield folder
    finally:
        os.close(lock)  # first: on a network file system an open file cannot be deleted
        shutil.rmtree(folder, ignore_errors=True)


def _locked_folder(parent: Path) -> tuple[Path, int]:
    """Return a new folder and the descriptor of its lock."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=WORK_PREFIX, dir=parent))
        with suppress(FileNotFoundError):  # another process swept the folder before it had a lock
            lock = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR)
            with suppress(OSError):  # a file system without locks: nobody sweeps there
                fcntl.flock(lock, fcntl.LOCK_EX)
            if (folder / LOCK).exists():
                return folder, lock
            os.close(lock)


def _move_into(source: Path, target: Path) -> None:
    for entry in sorted(source.iterdir()):
        place = target / entry.name
        if entry.is_dir() and place.is_dir():
            _move_into(entry, place)
        else:
            os.replace(entry, place)
    _sync(target)


@contextmanager
def _clear_about(path: Path) -> Iterator[None]:
    """Turn a failed write of `path` into a HeldoutError; leave other errors, such as a failed read, unchanged."""
    try:
        yield
    except OSError as error:
        if not _is_about(error, path):
            raise
        raise HeldoutError(f"cannot write {path}: {_remedy(error, path)}, and run again") from error


def _is_about(error: OSError, path: Path) -> bool:
    """Whether an error comes from writing `path`. On a full disk, the error of a copy names the source."""
    if error.errno in NO_ROOM or error.filename is None:
        return True
    named = Path(str(error.filename))
    return named in (path, *path.parents) or any(part.startswith(WORK_PREFIX) for part in named.parts)


def _remedy(error: OSError, path: Path) -> str:
    for folder in (path, *path.parents):
        if folder.is_symlink() and not folder.exists():
            return f"{folder} is a link to {folder.readlink()}, which is missing; mount that disk or correct the link"
    return f"{error.strerror or error}; make room or its folder writable"


def _sync(path: Path) -> None:
    """Have the system write a file, or a folder's list of names, to the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in UNSYNCED:
            raise
    finally:
        os.close(opened)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@shapes_no_number
def write_text(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


@shapes_no_number
def write_json(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
