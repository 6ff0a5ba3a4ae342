"""Writes files atomically: to a temporary name outside the folders that DVC tracks, then renamed."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from heldout import shapes_no_number
from heldout.errors import HeldoutError

TRACKED = ("results", "data")  # `dvc add` would record a partial file below these
SCRATCH = ".resume"
# The outputs of the stage in dvc.yaml.
VERSIONED = ("data/raw", "data/prepared", "data/splits", "results/checkpoints", "results/scores")
READABLE = 0o666
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def temporary_for(path: Path) -> Path:
    """Return a temporary name for `path`, on its file system, but never in a tracked folder."""
    name = f"{path.name}.{os.getpid()}.partial"
    folder = Path(os.path.relpath(path)).parts[0]  # Snakemake and the command line run in the project's folder
    return Path(folder, SCRATCH, name) if folder in TRACKED else path.with_name(f".{name}")


@shapes_no_number
@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` when the block ends without an exception.

    Raises:
        HeldoutError: the folder cannot be written to, or the disk is full.
    """
    path = Path(path)
    temporary = temporary_for(path)
    with _clear_about(path, temporary):
        try:
            temporary.parent.mkdir(parents=True, exist_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            temporary.chmod(READABLE & ~_umask())  # some libraries create files that only their owner may read
            os.replace(temporary, path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


@shapes_no_number
@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that replaces `path` when the block ends without an exception."""
    path = Path(path)
    temporary = temporary_for(path)
    with _clear_about(path, temporary):
        try:
            temporary.mkdir(parents=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            shutil.rmtree(path, ignore_errors=True)
            os.replace(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@shapes_no_number
def make_folder(path: Path) -> None:
    """Create a folder with those above it.

    Raises:
        HeldoutError: it cannot be created.
    """
    with _clear_about(path, path):
        path.mkdir(parents=True, exist_ok=True)


@contextmanager
def _clear_about(path: Path, temporary: Path) -> Iterator[None]:
    """Turn a failed write of `path` into a HeldoutError; leave other errors, such as a failed read, unchanged."""
    try:
        yield
    except OSError as error:
        # If the disk is full, the error of a copy names the source.
        named = Path(temporary if error.errno in NO_ROOM else error.filename or temporary)
        if temporary not in (named, *named.parents) and named not in (path, *path.parents, *temporary.parents):
            raise
        raise HeldoutError(
            f"cannot write {path}: {error.strerror or error}; make room or its folder writable, and run again"
        ) from error


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
