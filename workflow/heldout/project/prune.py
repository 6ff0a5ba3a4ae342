"""`heldout prune`: delete what neither an experiment file nor the record of an experiment names.

Fetched and own images are left alone: they are not made here. What DVC has recorded is dropped from dvc.lock as well;
earlier commits, the cache and the remote still have it.
"""

from dataclasses import dataclass

from heldout.project import dvc_records, snakemake_runs
from heldout.project.inventory import Experiment, Stored, named_digests, stored
from heldout.project.save import bring_lacking, record


@dataclass(frozen=True)
class Pruned:
    """How many files were deleted, and how many of them DVC had recorded."""

    deleted: int
    recorded: int


def superfluous(found: list[Experiment]) -> list[Stored]:
    """Return what no experiment names: prepared images, splits, checkpoints, scores, logs, benchmarks and saves."""
    named = named_digests(found)
    return [entry for entry in stored() if entry.digest not in named]


def failures() -> list[Stored]:
    """Return the recorded failures; once deleted, the next run tries them again."""
    return [entry for entry in stored() if entry.step in ("train", "score") and entry.failed]


def delete(entries: list[Stored]) -> Pruned:
    """Delete every file of the entries, and drop them from DVC's record where there is one.

    Raises:
        HeldoutError: a Snakemake run may be making or reading them, or DVC's record cannot be kept whole.
    """
    snakemake_runs.refuse_while_one_runs()
    files = {str(path) for entry in entries for path in entry.files}
    recorded = files & dvc_records.recorded().keys()
    if recorded:
        bring_lacking(apart_from={entry.digest for entry in entries})  # or the new record would drop that too
    for entry in entries:
        # The step's own file goes first: without it nothing beside it counts, wherever this is cut off.
        for path in sorted(entry.files, key=lambda path: path != entry.own):
            path.unlink()
    if recorded:
        record()
    return Pruned(len(files), len(recorded))
