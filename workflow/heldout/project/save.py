"""`heldout save`: record every dataset, checkpoint and score in dvc.lock and keep those already recorded.

DVC records a folder as a whole. `dvc commit` alone would drop from dvc.lock the files that a colleague has recorded and
this folder lacks; `dvc checkout` and `dvc pull` refuse while a folder holds unrecorded files. Therefore recorded files
that are missing are fetched first, no present file is touched, and then everything is recorded. If git could not merge
dvc.lock, the files of both sides count as recorded.
"""

import subprocess
import sys
from collections import defaultdict
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from heldout.errors import HeldoutError
from heldout.project import dvc_records, snakemake_runs
from heldout.project.inventory import DIGEST_IN_NAME, PLACES, require_project
from heldout.project.verify import damage_by_spec
from heldout.storage.files import VERSIONED, make_folder
from heldout.storage.hashing import file_md5

STAGE = "snakemake"  # of dvc.yaml
OWN_ENDINGS = {ending.removeprefix(".") for _, ending in PLACES.values()}
# Compared between commits by `dvc metrics diff` and `dvc plots diff`; small enough for git.
NUMBERS = ("metrics.json", "tables/metrics.csv", "tables/roc.csv", "tables/runtime.csv")


@dataclass(frozen=True)
class Saved:
    """The outcome of `save`.

    Attributes:
        fetched: number of recorded files that were missing here and fetched.
        added: number of files recorded for the first time.
        unmerged: files of NUMBERS that git could not merge; they were deleted, so that Snakemake writes them again.
        staged: whether dvc.lock and NUMBERS were staged in git; false without a git repository.
    """

    fetched: int
    added: int
    unmerged: list[str]
    staged: bool


def save() -> Saved:
    """Record all versioned folders in dvc.lock; in a git repository, stage it with the files of NUMBERS.

    Raises:
        HeldoutError: a file is damaged, a recorded file cannot be fetched, or DVC fails.
    """
    require_project()
    snakemake_runs.refuse_while_one_runs()
    for folder in VERSIONED:
        make_folder(Path(folder))
    before: set[str] = set()
    fetched = 0
    for side in dvc_records.sides():
        with dvc_records.as_if(side):
            recorded = dvc_records.recorded()
            _refuse_damaged(recorded)
            before |= recorded.keys()
            fetched += fetch_missing()
    unmerged = [path for path in dvc_records.unmerged() if _is_number(path)]
    for path in unmerged:
        Path(path).unlink(missing_ok=True)
        # This resolves the conflict for git; the next `save` adds the file again.
        _run("git", "rm", "--cached", "--quiet", path)
    staged = record()
    return Saved(fetched, len(dvc_records.recorded().keys() - before), unmerged, staged)


def fetch_missing(except_digests: Container[str] = ()) -> int:
    """Fetch the recorded files that are missing, except those with given digests; return their number."""
    recorded = {
        path: md5
        for path, md5 in dvc_records.recorded().items()
        if not (digest := DIGEST_IN_NAME.search(path)) or digest[1] not in except_digests
    }
    paths = to_fetch(recorded)
    dvc_records.fetch({path: recorded[path] for path in paths})
    return len(paths)


def record() -> bool:
    """Record the versioned folders as they are; return whether git has dvc.lock staged."""
    _run("dvc", "commit", "--force", STAGE)  # --quiet would hide why it fails
    numbers = [str(path) for pattern in NUMBERS for path in sorted(Path("results").glob(f"*/{pattern}"))]
    inside = _git("rev-parse", "--git-dir").returncode == 0
    if inside:
        _run("git", "add", "--force", dvc_records.LOCK, *numbers)
    return inside


def to_fetch(recorded: dict[str, str]) -> list[str]:
    """Return the recorded files to fetch, by path.

    Files with the same digest belong together: those beside a checkpoint are fetched if the checkpoint is missing or is
    the recorded one. A checkpoint that was trained here under the same digest is left as it is.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for path in recorded:
        digest = DIGEST_IN_NAME.search(path)
        groups[path[: digest.end()] if digest else path].append(path)
    return [path for stem, group in groups.items() for path in _to_fetch_of(stem, group, recorded)]


def _to_fetch_of(stem: str, group: list[str], recorded: dict[str, str]) -> list[str]:
    own = [path for path in group if path == stem or path.removeprefix(stem) in OWN_ENDINGS]
    missing = [path for path in group if not Path(path).is_file()]
    if any(path in missing for path in own):
        return [path for path in group if path in missing or file_md5(Path(path)) != recorded[path]]
    if not missing:
        return []
    return missing if all(file_md5(Path(path)) == recorded[path] for path in own) else []


def _refuse_damaged(recorded: dict[str, str]) -> None:
    for path, problem in damage_by_spec(recorded).items():
        raise HeldoutError(f"{path} is damaged: {problem}. Nothing was saved; `heldout verify` lists what to delete")


def _is_number(path: str) -> bool:
    """Whether a file is one of NUMBERS of an experiment, and not a user's file of the same name."""
    top, _, inner = path.partition("/")
    return top == "results" and inner.partition("/")[2] in NUMBERS


def _git(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)


def _run(*command: str) -> None:
    module = [sys.executable, "-m", *command] if command[0] == "dvc" else list(command)
    finished = subprocess.run(module, capture_output=True, text=True, check=False)
    if finished.returncode:
        said = " ".join(finished.stderr.rpartition("ERROR: ")[2].split())  # after DVC's progress bars
        if "not a git repository" in said:
            said += "; without one, type once: dvc config --local core.no_scm true"
        raise HeldoutError(f"{' '.join(command[:2])} failed: {said}")
