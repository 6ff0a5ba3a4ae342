"""`heldout prune`: delete the files that belong to no experiment: no experiment file and no `inputs.json` names them.

Fetched images and your own are never deleted. Deleted files are also dropped from dvc.lock; earlier commits, DVC's
cache and its remote still have them.
"""

from dataclasses import dataclass

from heldout.project import dvc_records, snakemake_runs
from heldout.project.inventory import Experiment, Stored, named_digests, stored
from heldout.project.save import fetch_missing, record


@dataclass(frozen=True)
class Pruned:
    """How many files were deleted, and how many of them DVC had recorded."""

    deleted: int
    recorded: int


def superfluous(found: list[Experiment]) -> list[Stored]:
    """Return the files that no experiment names, from prepared images to logs and saved states."""
    named = named_digests(found)
    return [entry for entry in stored() if entry.digest not in named]


def failures() -> list[Stored]:
    """Return the recorded failures; the next run repeats each one that is deleted."""
    return [entry for entry in stored() if entry.step in ("train", "score") and entry.failed]


def delete(entries: list[Stored]) -> Pruned:
    """Delete every file of the entries and drop them from dvc.lock, if there is one.

    Raises:
        HeldoutError: a Snakemake run may write or read them, or the other recorded files cannot be fetched.
    """
    snakemake_runs.refuse_while_one_runs()
    files = {str(path) for entry in entries for path in entry.files}
    recorded = files & dvc_records.recorded().keys()
    if recorded:
        # Otherwise the new record would also drop the recorded files that are missing here.
        fetch_missing(except_digests={entry.digest for entry in entries})
    for entry in entries:
        # The step's own file first: if this is interrupted, the files left beside it are ignored.
        for path in sorted(entry.files, key=lambda path: path != entry.own):
            path.unlink()
    if recorded:
        record()
    return Pruned(len(files), len(recorded))
