"""`heldout verify`: compare the hash of every checkpoint and score with its spec and with DVC's records.

A file is damaged unless its bytes, the digest in its name, the spec beside it and the spec inside it all agree. A file
that agrees with its spec but differs from dvc.lock counts as computed again and not yet saved.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from heldout.errors import HeldoutError
from heldout.project import dvc_records
from heldout.project.inventory import DIGEST_IN_NAME, Stored, stored
from heldout.storage import checkpoints, score_files
from heldout.storage.folders import FETCHED
from heldout.storage.hashing import digest, file_md5, file_sha256
from heldout.storage.manifests import read_manifest
from heldout.storage.sidecars import SPEC, sidecar

WITH_SPEC = ("split", "train", "score")


@dataclass
class Verified:
    """The checked files, the problem of each damaged one, and the intact files that differ from DVC's record."""

    checked: set[Path] = field(default_factory=set)
    damaged: dict[Path, str] = field(default_factory=dict)
    unsaved: list[Path] = field(default_factory=list)


def verify(recorded: dict[str, str]) -> Verified:
    """Check all files.

    Args:
        recorded: MD5 by path, as DVC has recorded them.
    """
    entries = [entry for entry in stored() if entry.step in WITH_SPEC]
    result = Verified({entry.own for entry in entries if entry.own.is_file()}, damage_by_spec())
    agreeing = {path for entry in entries if entry.own not in result.damaged for path in entry.files}
    for name, md5 in recorded.items():
        path = Path(name)
        if not path.is_file():
            continue
        result.checked.add(path)
        if path not in result.damaged and file_md5(path) == md5:
            continue
        in_cache = dict(_in_cache(md5))
        if path not in result.damaged and not in_cache and (path in agreeing or path.name == FETCHED):
            result.unsaved.append(path)
        else:
            result.damaged.setdefault(path, f"MD5 is not the {md5} that {dvc_records.LOCK} records")
            result.damaged |= in_cache
    return result


def damage_by_spec(trusted: dict[str, str] | None = None) -> dict[Path, str]:
    """Return the problem of each split, checkpoint and score that does not agree with its spec.

    Args:
        trusted: MD5 by path; a file with this MD5 is not checked further.
    """
    trusted = trusted or {}
    damaged = {}
    for entry in stored():
        if entry.step not in WITH_SPEC or not entry.own.is_file():
            continue
        if str(entry.own) in trusted and file_md5(entry.own) == trusted[str(entry.own)]:
            continue
        if problem := _against_spec(entry):
            damaged[entry.own] = problem
    return damaged


def remedy(path: Path) -> str:
    """Return the command that deletes a damaged file and the files beside it, so that Snakemake writes them again."""
    digest = DIGEST_IN_NAME.search(path.name)
    return f"rm {path.with_name(path.name[: digest.end()] + '*') if digest else path}"


def _against_spec(entry: Stored) -> str | None:
    """Return the problem of a split, a checkpoint or a score, or None."""
    path = entry.own
    try:
        if entry.step == "split":
            read_manifest(path, entry.digest)
            return None
        beside = json.loads(sidecar(path, SPEC).read_text(encoding="utf-8"))
        found, sha256 = digest(beside["spec"]), beside["sha256"]
        if found != entry.digest:
            return f"the spec beside it is that of {found}"
        if file_sha256(path) != sha256:
            return f"SHA-256 is not the {sha256[:12]}... that {sidecar(path, SPEC).name} records"
        inside = (checkpoints if entry.step == "train" else score_files).digest_in(path)
        return None if inside == entry.digest else f"it holds {inside}"
    except (HeldoutError, OSError, ValueError, KeyError, TypeError) as error:
        return str(error).partition("; delete")[0]


def _in_cache(md5: str) -> Iterator[tuple[Path, str]]:
    """Yield DVC's copy of a file if it is damaged; with a cache of links, the two are one file."""
    path = dvc_records.cached(md5)
    if path.is_file() and file_md5(path) != md5:
        yield path, "damaged in DVC's cache as well"
