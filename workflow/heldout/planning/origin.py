"""Selects the copy of the package that runs a command: the one that planned it, or the one of this folder's clone.

An environment contains one installed copy, but there may be several clones. Without this, a command in another clone
would run the installed copy, and an edit in that clone would have no effect.
"""

import os
import sys
from pathlib import Path

from heldout.errors import HeldoutError

VARIABLE = "HELDOUT_WORKFLOW"  # in the environment of a run's jobs: the folder of the package that planned them
IMPORTED = Path(__file__).resolve().parents[2]


def wanted() -> Path:
    """Return the folder that holds the package to run."""
    if planned := os.environ.get(VARIABLE):
        return Path(planned).resolve()
    beside = Path("workflow")
    is_project = Path("Snakefile").is_file() and (beside / "heldout" / "__init__.py").is_file()
    return beside.resolve() if is_project else IMPORTED


def name() -> str:
    """Return the folder of the imported package, relative to the current folder if it is below it."""
    package = IMPORTED / "heldout"
    here = Path.cwd().resolve()
    return package.relative_to(here).as_posix() if package.is_relative_to(here) else str(package)


def hand_on() -> None:
    """Let the jobs that this process starts run the imported package: Python finds it first, and `switch` checks it."""
    _find_first(IMPORTED)
    os.environ[VARIABLE] = str(IMPORTED)


def switch() -> None:
    """Replace this process by the same command with the wanted package, if another one was imported.

    Raises:
        HeldoutError: Python does not find the wanted package, even if it is first in its path.
    """
    folder = wanted()
    if folder == IMPORTED:
        return
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if paths[0] == str(folder):
        raise HeldoutError(
            f"this command should run the package in {folder}, but Python imports the one in {IMPORTED}; "
            f"install the first: pip install -e {folder.parent}"
        )
    _find_first(folder)
    os.execv(sys.executable, [sys.executable, "-P", "-m", "heldout", *sys.argv[1:]])


def _find_first(folder: Path) -> None:
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
