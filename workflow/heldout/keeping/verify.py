"""`heldout verify`: hash every checkpoint and score anew, against its spec and against DVC's records.

A file is damaged if its bytes, the digest in its name, the spec beside it and the spec inside it do not all agree, or
if they are not the bytes that dvc.lock records.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from heldout import checkpoints
from heldout.errors import HeldoutError
from heldout.identity import digest, file_md5, file_sha256
from heldout.keeping import records
from heldout.keeping.inventory import DIGEST_IN_NAME, Stored, stored
from heldout.protocols import read_manifest
from heldout.scores import read_scores
from heldout.sidecars import SPEC, sidecar


def verify(recorded: dict[str, str]) -> tuple[int, dict[Path, str]]:
    """Check all files.

    Args:
        recorded: MD5 by path, as DVC has recorded them; empty where it has not.

    Returns:
        How many files were read, and what is wrong with each damaged one.
    """
    damaged: dict[Path, str] = {}
    checked: set[Path] = set()
    for name, entry in stored().items():
        if entry.own.is_file() and entry.step in ("split", "train", "score"):
            checked.add(entry.own)
            if problem := _against_spec(name, entry):
                damaged[entry.own] = problem
    for path, md5 in recorded.items():
        if Path(path).is_file():
            checked.add(Path(path))
            if Path(path) not in damaged and file_md5(Path(path)) != md5:
                damaged[Path(path)] = (
                    f"MD5 is not the {md5} that {records.LOCK} records; or it was made anew and is not saved"
                )
            if Path(path) in damaged:
                damaged |= _in_cache(md5)
    return len(checked), damaged


def remedy(path: Path) -> str:
    """Return what to type about a damaged file: what stands beside it goes too, or Snakemake may not replace it."""
    digest = DIGEST_IN_NAME.search(path.name)
    return f"rm {path.with_name(path.name[: digest.end()] + '*') if digest else path}"


def _against_spec(name: str, entry: Stored) -> str | None:
    """Return what is wrong with a split, a checkpoint or a score, or None."""
    path = entry.own
    try:
        if entry.step == "split":
            read_manifest(path, name)
            return None
        beside = json.loads(sidecar(path, SPEC).read_text(encoding="utf-8"))
        found, sha256 = digest(beside["spec"]), beside["sha256"]
        if found != name:
            return f"the spec beside it is that of {found}"
        if file_sha256(path) != sha256:
            return f"SHA-256 is not the {sha256[:12]}... that {sidecar(path, SPEC).name} records"
        inside = digest(checkpoints.read_spec(path) if entry.step == "train" else read_scores(path).spec)
        return None if inside == name else f"it holds {inside}"
    except (HeldoutError, OSError, ValueError, KeyError, TypeError) as error:
        return str(error).partition("; delete")[0]


def _in_cache(md5: str) -> Iterator[tuple[Path, str]]:
    """Yield DVC's own copy of a damaged file, if that is damaged too: with links, they are one file."""
    path = records.cached(md5)
    if path.is_file() and file_md5(path) != md5:
        yield path, "DVC's cache has it with the same damage"
