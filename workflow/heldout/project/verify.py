"""`heldout verify`: compare the hash of every checkpoint and score with its spec and with DVC's records.

A file is damaged unless its bytes, the digest in its name, the spec beside it and the spec inside it all agree. A file
that agrees with its spec but differs from dvc.lock counts as computed again and not yet saved.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from heldout.errors import HeldoutError
from heldout.project import dvc_records
from heldout.project.inventory import DIGEST_IN_NAME, Stored, stored
from heldout.storage import checkpoints, report_records, score_files
from heldout.storage.folders import FETCHED
from heldout.storage.hashing import file_md5, file_sha256
from heldout.storage.manifests import read_manifest
from heldout.storage.sidecars import SPEC, read_spec, sidecar


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
    entries = [entry for entry in stored() if entry.step]
    results, damaged = damaged_results()
    result = Verified(results | {entry.own for entry in entries if entry.own.is_file()}, damage_by_spec() | damaged)
    agreeing = {path for entry in entries if not result.damaged.keys() & {*entry.files} for path in entry.files}
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
    """Return the problem of each file of a step that does not agree with its spec file or, of a split, with itself.

    Args:
        trusted: MD5 by path; files of a step that all have this MD5 are not checked further.
    """
    trusted = trusted or {}
    damaged: dict[Path, str] = {}
    for entry in stored():
        if entry.step is None or not entry.own.is_file():
            continue
        if all(str(path) in trusted and file_md5(path) == trusted[str(path)] for path in entry.files):
            continue
        damaged |= _against_spec(entry)
    return damaged


def damaged_results() -> tuple[set[Path], dict[Path, str]]:
    """Return the files of all experiments' results that a record names, and the problem of each damaged one.

    Those that git could not merge are left out: `heldout save` has them written again.
    """
    unmerged = dvc_records.unmerged()
    checked: set[Path] = set()
    damaged: dict[Path, str] = {}
    for path in sorted(Path("results").glob("*/records/*.json")):
        checked.add(path)
        try:
            written = report_records.read(path).written
        except HeldoutError as error:
            damaged[path] = _briefly(error)
            continue
        for file in map(Path, written):
            if not file.is_file() or str(file) in unmerged:
                continue
            checked.add(file)
            if file_sha256(file) != written[str(file)]:
                damaged[file] = f"SHA-256 is not the {written[str(file)][:12]}... that {path} records"
    return checked, damaged


def remedy(path: Path) -> str:
    """Return the command that deletes a damaged file and the files beside it, so that Snakemake writes them again."""
    digest = DIGEST_IN_NAME.search(path.name)
    return f"rm {path.with_name(path.name[: digest.end()] + '*') if digest else path}"


def _against_spec(entry: Stored) -> dict[Path, str]:
    """Return the problem of each damaged file of a step."""
    path = entry.own
    try:
        if entry.step == "split":
            read_manifest(path, entry.digest)
            return {}
        if entry.step == "prepare" and not sidecar(path, SPEC).is_file():
            return {}  # of an earlier version
        recorded = read_spec(path)
        if recorded.digest != entry.digest:
            return {path: f"the spec beside it is that of {recorded.digest}"}
        hashes = {path: recorded.sha256} | {sidecar(path, kind): each for kind, each in (recorded.files or {}).items()}
        beside = sidecar(path, SPEC).name
        damaged = {
            file: f"SHA-256 is not the {sha256[:12]}... that {beside} records" if file.is_file() else "missing"
            for file, sha256 in hashes.items()
            if not file.is_file() or file_sha256(file) != sha256
        }
        if path not in damaged and (inside := _digest_inside(entry)) != entry.digest:
            damaged[path] = f"it holds {inside}"
        return damaged
    except (HeldoutError, OSError, ValueError, KeyError, TypeError) as error:
        return {path: _briefly(error)}


def _digest_inside(entry: Stored) -> str:
    if entry.step == "train":
        return checkpoints.digest_in(entry.own.read_bytes(), entry.own)
    return score_files.digest_in(entry.own) if entry.step == "score" else entry.digest


def _briefly(error: Exception) -> str:
    return str(error).partition("; delete")[0]


def _in_cache(md5: str) -> Iterator[tuple[Path, str]]:
    """Yield DVC's copy of a file if it is damaged; with a cache of links, the two are one file."""
    path = dvc_records.cached(md5)
    if path.is_file() and file_md5(path) != md5:
        yield path, "damaged in DVC's cache as well"
