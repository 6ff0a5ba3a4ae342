"""Sidecars, the files beside a checkpoint or score file: spec with environment, history, timing."""

import json
from pathlib import Path
from typing import Any

from heldout import shapes_no_number
from heldout.errors import HeldoutError
from heldout.storage.files import write_json
from heldout.storage.hashing import file_sha256
from heldout.storage.manifests import SplitManifest
from heldout.storage.specs import Spec

SPEC, TIMING, HISTORY, LABELS = "spec.json", "timing.json", "history.csv", "labels.csv"
# The sidecars of each step's file, as its rule declares them.
BESIDE = {"fetch": (), "prepare": (LABELS,), "split": (), "train": (SPEC, TIMING, HISTORY), "score": (SPEC, TIMING)}


def sidecar(path: Path | str, kind: str) -> Path:
    """Return the name of a file beside `path`: `wgan-0123456789ab.safetensors` -> `wgan-0123456789ab.spec.json`."""
    return Path(path).with_suffix(f".{kind}")


def write_spec(path: Path, written: Path, spec: Spec, **ran: Any) -> None:
    """Write the sidecar with a file's spec, hash and environment.

    Args:
        path: the file's final name.
        written: the file's temporary name; it is renamed after its sidecars are written.
        spec: of the file.
        ran: further facts, which are not part of the digest.
    """
    content = {"digest": spec.digest, "spec": spec.content, "sha256": file_sha256(written), **ran}
    write_json(sidecar(path, SPEC), content)


@shapes_no_number
def recorded_environment(path: Path | str) -> dict[str, Any]:
    """Return the environment that is recorded beside a checkpoint or score file; empty if there is none."""
    try:
        return json.loads(sidecar(path, SPEC).read_text(encoding="utf-8")).get("ran", {})
    except (OSError, ValueError) as error:
        raise HeldoutError(f"{sidecar(path, SPEC)} cannot be read ({error}); delete {path} and run again") from error


@shapes_no_number
def checked_sha256(path: Path, manifest: SplitManifest) -> str:
    """Return the hash of a checkpoint or score file after checking it against its sidecar.

    Raises:
        HeldoutError: the file has another hash, or was made from another split.
    """
    beside = sidecar(path, SPEC)
    try:
        recorded = json.loads(beside.read_text(encoding="utf-8"))
        sha256 = file_sha256(path)
    except (OSError, ValueError) as error:
        raise HeldoutError(f"{beside} cannot be read ({error}); delete {path} and run again") from error
    if recorded["manifest"] != manifest.sha256:
        raise HeldoutError(f"{path} was made from another split manifest; delete it and run again")
    if recorded["sha256"] != sha256:
        raise HeldoutError(f"{path} is damaged: {beside.name} describes another file; delete it and run again")
    return sha256
