"""Sidecars, the files beside a step's file: spec with hashes and environment, labels, history, timing.

The spec file states the SHA-256 of the step's file, of the other sidecars and of its own content. Every reader of one
of these files compares what it reads with it.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heldout import shapes_no_number
from heldout.errors import HeldoutError, NotThere
from heldout.storage.hashing import digest, file_sha256, sha256_of_bytes
from heldout.storage.manifests import SplitManifest
from heldout.storage.sealed import SEAL, parsed, without_seal, write_sealed
from heldout.storage.specs import Record, Spec

SPEC, TIMING, HISTORY, LABELS = "spec.json", "timing.json", "history.csv", "labels.csv"
# The sidecars of each step's file, as its rule declares them.
BESIDE = {
    "fetch": (),
    "prepare": (LABELS, SPEC),
    "split": (),
    "train": (SPEC, TIMING, HISTORY),
    "score": (SPEC, TIMING),
}


@shapes_no_number
@dataclass(frozen=True, kw_only=True)
class SpecFile(Record):
    """The content of a spec file.

    Attributes:
        digest: of `spec`.
        sha256: of the step's file.
        files: the SHA-256 of each other sidecar, by kind; None: an earlier version wrote the file, which then states no
            hash of its own content either.
        failed: the reason of a numerical failure, if any.
        manifest: the SHA-256 of the split manifest.
        parent_sha256, checkpoint_sha256, joined_sha256: of the files that were read.
        ran: the environment.
    """

    digest: str
    spec: dict[str, Any]
    sha256: str
    files: dict[str, str] | None = None
    failed: str | None = None
    manifest: str | None = None
    parent_sha256: str | None = None
    checkpoint_sha256: str | None = None
    joined_sha256: dict[str, str] = field(default_factory=dict)
    ran: dict[str, Any] = field(default_factory=dict)


@shapes_no_number
def sidecar(path: Path | str, kind: str) -> Path:
    """Return the name of a file beside `path`: `wgan-0123456789ab.safetensors` -> `wgan-0123456789ab.spec.json`."""
    return Path(path).with_suffix(f".{kind}")


@shapes_no_number
def remade(path: Path | str) -> str:
    """Return what to do about a damaged file of a step: its sidecars go with it."""
    return f"delete {Path(path).with_suffix('')}.* and run again"


@shapes_no_number
def write_spec(path: Path, written: Path, spec: Spec, **facts: Any) -> None:
    """Write the spec file beside a step's file; the other sidecars are there.

    Args:
        path: the file's final name.
        written: the file's name now; it may be renamed after its sidecars are written.
        spec: of the file.
        facts: further fields of a `SpecFile`, which are not part of the digest.
    """
    _write(path, written, spec, {kind: sidecar(path, kind) for kind in BESIDE[spec.step] if kind != SPEC}, facts)


@shapes_no_number
def write_prepared_spec(images: Path, labels: Path, spec: Spec) -> None:
    """Write the spec file beside a prepared array; the labels may be anywhere."""
    _write(images, images, spec, {LABELS: labels}, {})


def _write(path: Path, written: Path, spec: Spec, others: dict[str, Path], facts: dict[str, Any]) -> None:
    files = {kind: file_sha256(other) for kind, other in others.items()}
    content = {"digest": spec.digest, "spec": spec.content, "sha256": file_sha256(written), "files": files, **facts}
    write_sealed(sidecar(path, SPEC), content)


@shapes_no_number
def read_spec(path: Path | str) -> SpecFile:
    """Read the spec file beside a step's file.

    Raises:
        NotThere: there is none.
        HeldoutError: it is damaged.
    """
    beside, remedy = sidecar(path, SPEC), remade(path)
    content = parsed(_content(beside, path), beside, remedy)
    if SEAL in content:
        content = without_seal(content, beside, remedy)
    elif "files" in content:
        raise HeldoutError(f"{beside} is damaged: it has no {SEAL}; {remedy}")
    try:
        found = SpecFile.of(content)
        is_own = digest(found.spec) == found.digest
    except (HeldoutError, ValueError) as error:
        raise HeldoutError(f"{beside} is damaged ({error}); {remedy}") from error
    if not is_own:
        raise HeldoutError(f"{beside} is damaged: its digest is not that of its spec; {remedy}")
    return found


@shapes_no_number
def read_beside(path: Path | str, kind: str) -> bytes:
    """Return the content of a sidecar, after comparing its hash with the spec file.

    Raises:
        NotThere: the sidecar or the spec file is missing.
        HeldoutError: one of them is damaged.
    """
    beside = sidecar(path, kind)
    content = _content(beside, path)
    files = read_spec(path).files
    if files is not None and files.get(kind) != sha256_of_bytes(content):
        raise HeldoutError(f"{beside} is damaged: {sidecar(path, SPEC).name} states another SHA-256; {remade(path)}")
    return content


@shapes_no_number
def read_own(path: Path) -> bytes:
    """Return the content of a step's file, after comparing its hash with the spec file beside it.

    Raises:
        NotThere: one of them is missing.
        HeldoutError: one of them is damaged.
    """
    content = _content(path, path)
    _compare(path, read_spec(path), sha256_of_bytes(content))
    return content


@shapes_no_number
def check_own(path: Path) -> SpecFile:
    """Compare the hash of a step's file with the spec file beside it, which is returned; raises as `read_own`."""
    recorded = read_spec(path)
    _compare(path, recorded, hash_of(path, path))
    return recorded


@shapes_no_number
def hash_of(path: Path, own: Path | str) -> str:
    """Return the SHA-256 of a step's file, or of one beside it; raise NotThere if it is missing."""
    try:
        return file_sha256(path)
    except FileNotFoundError as error:
        raise _missing(path, own) from error


def _content(path: Path, own: Path | str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise _missing(path, own) from error


def _missing(path: Path, own: Path | str) -> NotThere:
    return NotThere(f"{path} is missing; {remade(own)}")


def _compare(path: Path, recorded: SpecFile, sha256: str) -> None:
    if recorded.sha256 != sha256:
        raise HeldoutError(f"{path} is damaged: {sidecar(path, SPEC).name} describes another file; {remade(path)}")


@shapes_no_number
def recorded_environment(path: Path | str) -> dict[str, Any]:
    """Return the environment that is recorded beside a checkpoint or score file; empty if there is none."""
    return read_spec(path).ran


@shapes_no_number
def checked_sha256(path: Path, manifest: SplitManifest) -> str:
    """Return the hash of a checkpoint or score file after checking it against its spec file.

    Raises:
        HeldoutError: the file has another hash, or was made from another split.
    """
    recorded = check_own(path)
    if recorded.manifest != manifest.sha256:
        raise HeldoutError(f"{path} was made from another split manifest; {remade(path)}")
    return recorded.sha256
