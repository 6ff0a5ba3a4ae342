"""Files that are either whole or absent: written to a temporary name outside what DVC tracks, then renamed."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from heldout.errors import HeldoutError

TRACKED = ("results", "data")  # a half-written file below these would be taken up by `dvc add`
SCRATCH = ".resume"


def scratch_folder(path: Path) -> Path:
    """Return where to write before `path` is renamed into place: the same file system, never a tracked folder."""
    for parent in path.absolute().parents:
        if parent.name in TRACKED:
            return parent / SCRATCH / path.stem
    return path.parent


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path that becomes `path` when the block ends without an exception.

    Raises:
        HeldoutError: the folder cannot be written to, or the disk is full.
    """
    path = Path(path)
    scratch = scratch_folder(path)
    temporary = scratch / f"{path.name}.{os.getpid()}.partial"
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise HeldoutError(
            f"cannot write {path}: {error.strerror or error}; make its folder writable, or run from another one"
        ) from error
    finally:
        temporary.unlink(missing_ok=True) if scratch.is_dir() else None
        if scratch.name != path.parent.name and scratch.parent.name == SCRATCH:
            _remove_if_empty(scratch)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder that replaces `path` when the block ends without an exception."""
    path = Path(path)
    temporary = scratch_folder(path) / f"{path.name}.{os.getpid()}.partial"
    try:
        temporary.mkdir(parents=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        shutil.rmtree(path, ignore_errors=True)
        os.replace(temporary, path)
    except OSError as error:
        raise HeldoutError(f"cannot write {path}: {error.strerror or error}; make its folder writable") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        _remove_if_empty(temporary.parent)


def write_text(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def write_if_changed(path: Path, text: str) -> None:
    """Leave the file's modification time alone when its content is right: Snakemake compares times."""
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        pass  # another job writes there too
