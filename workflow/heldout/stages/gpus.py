"""Places on GPUs: each job holds one on the GPU with the fewest jobs, until its process ends.

A place is a locked file in a folder that all runs of a user on this machine share. The operating system releases the
lock with the process, however it ends. Jobs choose one at a time, so that each counts all the others. portalocker's
semaphores count neither the jobs of one GPU against another's nor those of runs with another limit.
"""

import fcntl
import os
import stat
import sys
import tempfile
import time
from pathlib import Path

from heldout.errors import HeldoutError

CHOOSING = "choosing"  # the file that a job locks while it looks for a place
SECONDS_BETWEEN_LOOKS = 1.0

_held: dict[str, int] = {}  # by GPU, the descriptor of this process's locked file, open as long as the process lives


def take(gpus: list[str], limit: int, folder: Path | None = None) -> int:
    """Take a place on the GPU with the fewest jobs, or keep the one that this process holds; wait while all are full.

    Args:
        gpus: an identifier of each GPU, the same for every process that sees it.
        limit: jobs on one GPU, including those of runs with another limit.
        folder: of the locks; None: this user's, below the folder for temporary files.

    Returns:
        The index of the GPU in `gpus`.

    Raises:
        HeldoutError: the folder belongs to someone else, or no lock can be taken in it.
    """
    for number, gpu in enumerate(gpus):
        if gpu in _held:
            return number
    folder = folder or Path(tempfile.gettempdir(), f"heldout-gpus-{os.getuid()}")
    waits = False
    while (taken := _try(gpus, limit, folder)) is None:
        if not waits:
            full = f"each of {len(gpus)} GPUs has" if len(gpus) > 1 else "the GPU has"
            print(f"waiting for a GPU: {full} {limit} jobs already (jobs_per_gpu)", file=sys.stderr, flush=True)
        waits = True
        time.sleep(SECONDS_BETWEEN_LOOKS)
    return taken


def _try(gpus: list[str], limit: int, folder: Path) -> int | None:
    """Take a place and return its GPU's index; None if all GPUs are full."""
    try:
        _make_private(folder)
        with open(folder / CHOOSING, "w") as choosing:
            fcntl.flock(choosing, fcntl.LOCK_EX)
            jobs, number = min((_count_jobs(gpu, folder), number) for number, gpu in enumerate(gpus))
            if jobs >= limit:
                return None
            place, _ = tempfile.mkstemp(prefix=f"{gpus[number]}.", dir=folder)
            fcntl.flock(place, fcntl.LOCK_EX)
            _held[gpus[number]] = place
            return number
    except OSError as error:
        raise _unusable(folder, error.strerror or str(error)) from error


def _count_jobs(gpu: str, folder: Path) -> int:
    """Return how many processes hold a place on a GPU; delete the places of processes that have ended."""
    jobs = 0
    for path in folder.glob(f"{gpu}.*"):
        with open(path) as place:
            try:
                fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            except BlockingIOError:
                jobs += 1
    return jobs


def _make_private(folder: Path) -> None:
    """Create the folder, or check that no other user can have created it or can write to it."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise _unusable(folder, "it is not a folder of your own that only you may enter")


def _unusable(folder: Path, why: str) -> HeldoutError:
    return HeldoutError(
        f"{folder}, where jobs lock their GPUs, cannot be used: {why}; remove it, or set TMPDIR to a folder of your own"
    )
