"""The hash by which an experiment identifies a folder of a user's own images.

It is the hash that `dvc add FOLDER` writes to FOLDER.dvc: the MD5 of the list of files, each with its MD5.
"""

import hashlib
import json
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from heldout import shapes_no_number
from heldout.errors import HeldoutError, NotThere
from heldout.storage.hashing import file_md5
from heldout.storage.sealed import read_sealed, write_sealed

# Files that tools write beside images. .dvcignore has the same patterns, so that DVC computes the same hash.
# LMDB writes lock.mdb whenever a database is opened; `.heldout-*` are the work folders of storage/files.py.
IGNORED = (
    "__pycache__",
    "*.egg-info",
    ".ipynb_checkpoints",
    "*.swp",
    ".DS_Store",
    "Thumbs.db",
    "lock.mdb",
    ".heldout-*",
)
FETCHED = "fetched.json"  # lists the fetched files of a dataset, with checksum and source
KNOWN = Path("data/.resume")  # cached hashes of files, with their size and modification time


def md5_of(*folders: Path) -> str:
    """Return the hash of the files of one or several folders, reading them all; folders are treated as one."""
    return _listed({name: file_md5(folder / name) for folder in folders for name in _names(folder)})


def require(folder: Path, dataset: str, why: str = "") -> None:
    """Raise NotThere if a folder does not exist, HeldoutError if it is a file.

    Args:
        folder: the option `folder`.
        dataset: the dataset that reads it; its description states the expected files.
        why: the consequence of the missing folder, for the message.
    """
    if folder.is_file():
        raise HeldoutError(f"{folder} is a file; unpack it if it is an archive, and set `folder` to the folder")
    if not folder.is_dir():
        raise NotThere(
            f"the image folder {folder} is missing{why}; correct `folder`, or fetch it: dvc pull {folder}. "
            f"See: heldout datasets {dataset}"
        )


def known_md5_of(folder: Path) -> str:
    """Return the result of `md5_of`; read only files with a new size or modification time."""
    store = KNOWN / f"md5-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]}.json"
    try:
        known = read_sealed(store, "")
    except (OSError, HeldoutError):  # there is none yet, or it is damaged
        known = {}
    found: dict[str, list[Any]] = {}
    for name in _names(folder):
        stat = (folder / name).stat()
        state = [stat.st_size, stat.st_mtime_ns]
        same = name in known and known[name][:2] == state
        found[name] = known[name] if same else [*state, file_md5(folder / name)]
    if found != known:
        write_sealed(store, found)
    return _listed({name: md5 for name, (_, _, md5) in found.items()})


@shapes_no_number
def check(folder: Path, md5: str, dataset: str) -> None:
    """Raise HeldoutError if the folder has another MD5 than the experiment states."""
    require(folder, dataset)
    if (found := md5_of(folder)) != md5:
        raise HeldoutError(
            f"{folder} does not contain the files of the experiment: its md5 is {found}, not {md5}; "
            f"restore them (`dvc checkout {folder}`), or set md5: {found}"
        )


def files_in(folder: Path) -> list[Path]:
    """Return the files below a folder, relative to it, in the order of their names.

    Raises:
        HeldoutError: one is a link to a folder: its files would be read, but not hashed.
    """
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if any(fnmatch(part, pattern) for part in name.parts for pattern in IGNORED):
            continue
        if path.is_symlink() and path.is_dir():
            raise HeldoutError(f"{path} is a link to a folder, which DVC does not follow; put the folder itself there")
        if path.is_file():
            found.append(name)
    return found


def _names(folder: Path) -> list[str]:
    return [name.as_posix() for name in files_in(folder)]


def _listed(md5s: dict[str, str]) -> str:
    entries = [{"md5": md5s[name], "relpath": name} for name in sorted(md5s)]  # DVC's order: by the whole name
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode()).hexdigest()
