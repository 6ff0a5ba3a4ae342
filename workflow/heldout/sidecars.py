"""The files beside a checkpoint or a score: its spec and what it ran on, its history, its timing."""

from pathlib import Path
from typing import Any

from heldout.files import write_json
from heldout.identity import digest, file_sha256

SPEC, TIMING, HISTORY, LABELS = "spec.json", "timing.json", "history.csv", "labels.csv"
# What each step writes beside its own file, as its rule declares it.
BESIDE = {"fetch": (), "prepare": (LABELS,), "split": (), "train": (SPEC, TIMING, HISTORY), "score": (SPEC, TIMING)}


def sidecar(path: Path | str, kind: str) -> Path:
    """Return the name of a file beside `path`: `wgan-0123456789ab.safetensors` -> `wgan-0123456789ab.spec.json`."""
    return Path(path).with_suffix(f".{kind}")


def write_spec(path: Path, written: Path, spec: dict[str, Any], **ran: Any) -> None:
    """Record a file's identity, its hash and what it ran on.

    Args:
        path: the file's final name.
        written: where its content lies now; it is renamed once everything beside it is there.
        spec: its identity.
        ran: what does not belong to the identity.
    """
    content = {"digest": digest(spec), "spec": spec, "sha256": file_sha256(written), **ran}
    write_json(sidecar(path, SPEC), content)
