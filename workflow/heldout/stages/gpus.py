"""Which GPU a job gets: a place on the one that is used least, held until the process ends.

A place is a lock on a file, in a folder that all runs of a user on this machine share. The system takes the lock back
with the process, however it ends. Places are chosen one job at a time, so that each sees what the others hold.
"""

import fcntl
import os
import stat
import sys
import tempfile
import time
from pathlib import Path

from heldout.errors import HeldoutError

CHOOSING = "choosing"  # the file whose lock a job holds while it looks for a place
SECONDS_BETWEEN_LOOKS = 1.0

_held: dict[str, int] = {}  # by GPU, the descriptor of this process's lock, open for as long as the process lives


def take(gpus: list[str], share: int, folder: Path | None = None) -> int:
    """Take a place on the GPU that holds the fewest jobs, or keep what this process has; wait while there is none.

    Args:
        gpus: what identifies each GPU, the same for every process that sees it.
        share: jobs that one GPU may hold, those of runs with another share included.
        folder: where the locks are; None: this user's, below the folder for temporary files.

    Returns:
        The place of the GPU in `gpus`.

    Raises:
        HeldoutError: the folder is someone else's, or no lock can be taken in it.
    """
    for number, gpu in enumerate(gpus):
        if gpu in _held:
            return number
    folder = folder or Path(tempfile.gettempdir(), f"heldout-gpus-{os.getuid()}")
    waits = False
    while True:
        try:
            _make_private(folder)
            number = _try(gpus, share, folder)
        except OSError as error:
            raise _unusable(folder, error.strerror or str(error)) from error
        if number is not None:
            return number
        if not waits:
            seen = f"each of {len(gpus)} GPUs holds" if len(gpus) > 1 else "the GPU holds"
            print(f"waiting for a GPU: {seen} {share} jobs already (jobs_per_gpu)", file=sys.stderr, flush=True)
        waits = True
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _make_private(folder: Path) -> None:
    """Create the folder, or check that no other user could have put it there or can write to it."""
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise _unusable(folder, "it is not a folder of your own that only you may enter")


def _try(gpus: list[str], share: int, folder: Path) -> int | None:
    """Take a place and return its GPU's number; None where all are taken."""
    choosing = _opened(folder / CHOOSING)
    try:
        fcntl.flock(choosing, fcntl.LOCK_EX)
        free = {number: _free_places(gpu, share, folder) for number, gpu in enumerate(gpus)}
        try:
            held, number = min((held, number) for number, (held, _) in free.items())
            if held >= share:
                return None
            _held[gpus[number]] = free[number][1].pop()
            os.utime(_held[gpus[number]])  # a system may tidy up temporary files that look old
            return number
        finally:
            for _, places in free.values():
                for place in places:
                    os.close(place)
    finally:
        os.close(choosing)


def _free_places(gpu: str, share: int, folder: Path) -> tuple[int, list[int]]:
    """Return how many jobs a GPU holds, and its free places, locked; a run with a larger share may have made more."""
    names = {f"{gpu}.{number}" for number in range(share)} | {path.name for path in folder.glob(f"{gpu}.*")}
    held, places = 0, []
    for name in sorted(names):
        place = _opened(folder / name)
        try:
            fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
            places.append(place)
        except BlockingIOError:
            os.close(place)
            held += 1
    return held, places


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def _unusable(folder: Path, why: str) -> HeldoutError:
    return HeldoutError(
        f"{folder}, where jobs lock their GPUs, cannot be used: {why}; remove it, or set TMPDIR to a folder of your own"
    )
