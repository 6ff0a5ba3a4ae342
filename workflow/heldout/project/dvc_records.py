"""The files that dvc.lock records for the outputs in dvc.yaml, each with its MD5.

dvc.lock records the hash of a list of files per folder; the list is in DVC's cache or, after a fresh clone, in its
remote.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from heldout.errors import HeldoutError
from heldout.storage.files import NO_ROOM, VERSIONED, whole_file, write_text
from heldout.storage.hashing import file_md5

LOCK = "dvc.lock"
LONGEST = 200  # characters of what a remote says
OURS, THEIRS = 2, 3  # git's numbers for the two sides of a merge


def recorded() -> dict[str, str]:
    """Return the MD5 of every recorded file, by path; empty without a dvc.lock.

    Raises:
        HeldoutError: DVC cannot read its records.
    """
    if not Path(LOCK).is_file():
        return {}
    if _is_unmerged():
        raise HeldoutError(f"{LOCK} is an unresolved merge; join both sides with: heldout save")
    with _clear():
        files = _filesystem()
        return {
            path: facts["md5"]
            for folder in VERSIONED
            for path, facts in files.find(folder, detail=True, dvc_only=True).items()
        }


def sides() -> list[str | None]:
    """Return the two sides of dvc.lock if git could not merge it; else [None], for the file as it is.

    The sides come from git's index, since the file may already contain only one of them.
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
    """Write `text` to dvc.lock; restore the previous content if the block fails."""
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


def fetch(md5s: dict[str, str]) -> None:
    """Copy recorded files from DVC's cache or its remote to their paths; an interrupted copy leaves no file.

    Args:
        md5s: the recorded MD5 of each file, by path.

    Raises:
        HeldoutError: a file is in neither, or its copy there is damaged.
    """
    with _clear():
        files = _filesystem()
        for path, md5 in md5s.items():
            with whole_file(Path(path)) as temporary:
                _copy(files, path, temporary)
                if not temporary.is_file() or file_md5(temporary) != md5:
                    raise HeldoutError(
                        f"the copy of {path} in DVC's cache or its remote is damaged: its MD5 is not the {md5} that "
                        f"{LOCK} records; delete it there, and let the person who recorded the file `dvc push` it again"
                    )


def _copy(files: Any, path: str, target: Path) -> None:
    """Copy one recorded file; an error of the remote is not one of writing `target`."""
    try:
        files.get_file(path, str(target))
    except FileNotFoundError as error:
        raise HeldoutError(_missing(path)) from error
    except OSError as error:
        if error.errno in NO_ROOM:
            raise
        said = " ".join(str(error).split())[:LONGEST]
        raise HeldoutError(f"{path} cannot be fetched from DVC's cache or its remote: {said}") from error


def cached(md5: str) -> Path:
    """Return the path of the file with this MD5 in DVC's cache; the file may be missing."""
    with _clear():
        from dvc.repo import Repo

        return Path(Repo().cache.local.oid_to_path(md5))


def unmerged() -> list[str]:
    """Return the files that git could not merge; none outside a git repository."""
    command = ["git", "diff", "--name-only", "--relative", "--diff-filter=U"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    except OSError:  # there is no git
        return []


def _is_unmerged() -> bool:
    return "\n<<<<<<<" in "\n" + Path(LOCK).read_text(encoding="utf-8")


def _filesystem() -> Any:
    from dvc.api import DVCFileSystem  # the import takes half a second

    return DVCFileSystem()


@contextmanager
def _clear() -> Iterator[None]:
    """Turn an exception of DVC into a HeldoutError of one line."""
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
        return _missing("a list of files")
    return f"DVC: {said}" if isinstance(error, DvcException) else None


def _missing(what: str) -> str:
    return (
        f"{what} that {LOCK} records is neither in DVC's cache nor in its remote; `dvc remote list` shows the remote, "
        "and the person who recorded it can upload it there with `dvc push`"
    )
