"""`heldout save`: have DVC record every dataset, checkpoint and score that is here, and forget none it has recorded.

A DVC output that is a folder is recorded as a whole: `dvc commit` alone would drop from dvc.lock what a colleague has
recorded and this folder lacks, and `dvc checkout` and `dvc pull` refuse while it holds what nobody has recorded. So
what is recorded and not here is brought first, without touching any file that is here; then all of it is recorded.
"""

import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from heldout.errors import HeldoutError
from heldout.files import VERSIONED, make_folder
from heldout.identity import file_md5
from heldout.keeping import records
from heldout.keeping.inventory import DIGEST_IN_NAME, PLACES

OWN_ENDINGS = {ending.removeprefix(".") for _, ending in PLACES.values()}
# What `dvc metrics diff` and `dvc plots diff` compare between commits; small, so git keeps it.
NUMBERS = ("metrics.json", "tables/metrics.csv", "tables/roc.csv", "tables/runtime.csv")


@dataclass(frozen=True)
class Saved:
    """What a saving did: files brought here, files recorded now that were not, and whether git has them staged."""

    brought: list[str]
    added: int
    staged: bool


def save() -> Saved:
    """Record all tracked folders in dvc.lock, and stage it with the experiments' numbers where there is a git.

    Raises:
        HeldoutError: a recorded file cannot be had, or DVC refuses.
    """
    for folder in VERSIONED:
        make_folder(Path(folder))
    before = records.recorded()
    brought = lacking(before)
    records.bring(brought)
    _run("dvc", "commit", "--force")  # with --quiet it would not say why it fails
    return Saved(brought, len(records.recorded().keys() - before.keys()), _stage())


def lacking(recorded: dict[str, str]) -> list[str]:
    """Return the recorded files to bring, by path.

    Files of one digest belong together, so those beside a checkpoint come with it: where it is not here, or where it is
    the recorded one. One trained here under the same digest stays as it is.
    """
    groups: dict[str, list[str]] = defaultdict(list)
    for path in recorded:
        digest = DIGEST_IN_NAME.search(path)
        groups[path[: digest.end()] if digest else path].append(path)
    return [path for stem, group in groups.items() for path in _lacking_of(stem, group, recorded)]


def _lacking_of(stem: str, group: list[str], recorded: dict[str, str]) -> list[str]:
    own = [path for path in group if path == stem or path.removeprefix(stem) in OWN_ENDINGS]
    missing = [path for path in group if not Path(path).is_file()]
    if any(path in missing for path in own):
        return [path for path in group if path in missing or file_md5(Path(path)) != recorded[path]]
    return missing if all(file_md5(Path(path)) == recorded[path] for path in own) else []


def _stage() -> bool:
    numbers = [str(path) for pattern in NUMBERS for path in sorted(Path("results").glob(f"*/{pattern}"))]
    inside = subprocess.run(["git", "rev-parse", "--git-dir"], capture_output=True, check=False).returncode == 0
    if inside:
        _run("git", "add", "--force", records.LOCK, *numbers)
    return inside


def _run(*command: str) -> None:
    module = [sys.executable, "-m", *command] if command[0] == "dvc" else list(command)
    finished = subprocess.run(module, capture_output=True, text=True, check=False)
    if finished.returncode:
        said = " ".join(finished.stderr.rpartition("ERROR: ")[2].split())  # DVC draws progress before it
        if "not a git repository" in said:
            said += "; without one, type once: dvc config --local core.no_scm true"
        raise HeldoutError(f"{' '.join(command[:2])} failed: {said}")
