"""Places on GPUs: each job occupies a place on the GPU with the fewest jobs, until its process ends.

A place is a locked file in a folder that all runs of a user on this machine share. The operating system releases the
lock when the process ends for any reason. Jobs take places one after another, so that each counts all others. The
semaphores of portalocker neither compare the jobs of several GPUs nor count those of runs with another limit.
"""

import fcntl
import os
import stat
import sys
import tempfile
import time
from pathlib import Path

from heldout.errors import HeldoutError

CHOOSING = "choosing"  # a job locks this file while it takes a place
SECONDS_BETWEEN_LOOKS = 1.0

_held: dict[str, int] = {}  # by GPU, the descriptor of this process's locked file, which stays open


def take(gpus: list[str], limit: int, folder: Path | None = None) -> int:
    """Take a place on the GPU with the fewest jobs, or keep this process's place; wait while all GPUs are full.

    Args:
        gpus: an identifier of each GPU, the same in every process.
        limit: maximum number of jobs on one GPU, including those of other runs.
        folder: of the locks; None: this user's folder below the one for temporary files.

    Returns:
        The index of the GPU in `gpus`.

    Raises:
        HeldoutError: the folder belongs to another user, or files in it cannot be locked.
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
    """Return the number of occupied places on a GPU; delete the places of ended processes."""
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
    """Create the folder, or check that this user owns it and no other user has access."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise _unusable(folder, "it is not a private folder of yours")


def _unusable(folder: Path, why: str) -> HeldoutError:
    return HeldoutError(
        f"{folder}, where jobs lock their GPUs, cannot be used: {why}; remove it, or set TMPDIR to a folder of your own"
    )
