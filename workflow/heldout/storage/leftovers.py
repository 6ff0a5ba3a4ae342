"""The results that an earlier run left in an experiment's folder, from that run's `manifest.json`."""

import json
from collections.abc import Iterable
from pathlib import Path

from heldout.storage.hashing import file_sha256

NAME = "manifest.json"


def leftovers(folder: Path, planned: Iterable[str]) -> dict[Path, str]:
    """Return the present files in `folder` that an earlier run wrote and that are no longer planned.

    Args:
        folder: `results/<experiment>`.
        planned: the paths of all tables and figures of the present plan.

    Returns:
        The recorded SHA-256 of each file. Empty if there is no manifest, or it is damaged.
    """
    try:
        made = json.loads((folder / NAME).read_text(encoding="utf-8"))["results"].items()
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}
    here = {Path(path): str(sha256) for path, sha256 in made if path not in set(planned)}
    # A folder that was renamed has a manifest with another experiment's paths.
    return {path: sha256 for path, sha256 in here.items() if _lies_in(path, folder)}


def remove(found: dict[Path, str]) -> None:
    """Delete the files that still have their recorded hash; files that a user changed are kept."""
    for path, sha256 in found.items():
        if file_sha256(path) == sha256:
            path.unlink()


def _lies_in(path: Path, folder: Path) -> bool:
    return path.is_file() and not path.is_symlink() and path.resolve().is_relative_to(folder.resolve())
