"""`heldout prune`: delete what neither an experiment file nor the record of an experiment names.

Fetched and own images are left alone: they are not made here.
"""

from pathlib import Path

from heldout.errors import HeldoutError
from heldout.keeping.inventory import Experiment, Stored, named_digests, stored

LOCKS = Path(".snakemake/locks")


def superfluous(found: list[Experiment]) -> list[Stored]:
    """Return what no experiment names: prepared images, splits, checkpoints, scores, their logs and benchmarks."""
    named = named_digests(found)
    return _sorted([entry for digest, entry in stored().items() if digest not in named])


def failures() -> list[Stored]:
    """Return the recorded failures; once deleted, the next run tries them again."""
    return _sorted([entry for entry in stored().values() if entry.step in ("train", "score") and entry.failed])


def delete(entries: list[Stored]) -> None:
    """Delete every file of the entries.

    Raises:
        HeldoutError: a Snakemake run may be making or reading them.
    """
    if LOCKS.is_dir() and any(LOCKS.iterdir()):
        raise HeldoutError(
            "a Snakemake run holds this folder; wait until it ends, or, if none runs, type: snakemake --unlock"
        )
    for entry in entries:
        # The step's own file goes first: without it nothing beside it counts, wherever this is cut off.
        for path in sorted(entry.files, key=lambda path: path != entry.own):
            path.unlink()


def _sorted(entries: list[Stored]) -> list[Stored]:
    return sorted(entries, key=lambda entry: str(entry.own))
