"""What DVC has recorded of this folder: every file of the outputs in dvc.yaml, with its MD5, as dvc.lock has it now.

The list of a folder's files lies in DVC's cache or, after a fresh clone, in its remote.
"""

import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from heldout.errors import HeldoutError
from heldout.storage.files import VERSIONED, whole_file, write_text

LOCK = "dvc.lock"
OURS, THEIRS = 2, 3  # git's numbers for the two sides of a merge


def recorded() -> dict[str, str]:
    """Return the MD5 of every recorded file, by path; nothing where there is no dvc.lock.

    Raises:
        HeldoutError: DVC cannot read its own records, with the way out.
    """
    if not Path(LOCK).is_file():
        return {}
    if _is_unmerged():
        raise HeldoutError(f"{LOCK} holds both sides of a merge; join them with: heldout save")
    with _clear():
        files = _filesystem()
        return {
            path: facts["md5"]
            for folder in VERSIONED
            for path, facts in files.find(folder, detail=True, dvc_only=True).items()
        }


def sides() -> list[str | None]:
    """Return the texts of dvc.lock that count: both sides where git could not merge it; else None, as it is.

    Git is asked, and not the file: it may hold one side already.
    """
    shown = [
        subprocess.run(["git", "show", f":{side}:./{LOCK}"], capture_output=True, text=True, check=False)
        for side in (OURS, THEIRS)
    ]
    if all(side.returncode == 0 for side in shown):
        return [side.stdout for side in shown]
    if Path(LOCK).is_file() and _is_unmerged():
        raise HeldoutError(f"git no longer has the two sides of {LOCK}; take one: git checkout COMMIT -- {LOCK}")
    return [None]


@contextmanager
def as_if(text: str | None) -> Iterator[None]:
    """Put `text` into dvc.lock; where the block fails, put back what was there."""
    if text is None:
        yield
        return
    before = Path(LOCK).read_text(encoding="utf-8")
    write_text(Path(LOCK), text)
    try:
        yield
    except BaseException:
        write_text(Path(LOCK), before)
        raise


def bring(paths: Iterable[str]) -> None:
    """Copy recorded files here from DVC's cache or its remote, each whole or not at all.

    Raises:
        HeldoutError: neither has a file.
    """
    with _clear():
        files = _filesystem()
        for path in paths:
            with whole_file(Path(path)) as temporary:
                files.get_file(path, str(temporary))


def cached(md5: str) -> Path:
    """Return where DVC's cache keeps, or would keep, the file with this MD5."""
    with _clear():
        from dvc.repo import Repo

        return Path(Repo().cache.local.oid_to_path(md5))


def _is_unmerged() -> bool:
    return "\n<<<<<<<" in "\n" + Path(LOCK).read_text(encoding="utf-8")


def _filesystem() -> Any:
    from dvc.api import DVCFileSystem  # half a second, so only where it is used

    return DVCFileSystem()


@contextmanager
def _clear() -> Iterator[None]:
    """Turn what DVC raises into one line."""
    try:
        yield
    except Exception as error:
        if problem := _problem(error):
            raise HeldoutError(problem) from error
        raise


def _problem(error: Exception) -> str | None:
    from dvc.exceptions import DvcException
    from dvc_data.index import DataIndexDirError

    said = " ".join(str(error).split())
    if isinstance(error, (DataIndexDirError, FileNotFoundError)):
        return (
            f"what {LOCK} records is neither in DVC's cache nor in its remote ({said}); `dvc remote list` shows where "
            "it looks, and whoever recorded it can `dvc push` it there"
        )
    return f"DVC: {said}" if isinstance(error, DvcException) else None
