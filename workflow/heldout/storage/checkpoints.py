"""Checkpoints: safetensors files, which run no code when read, with the spec in their metadata.

After a numerical failure, the checkpoint has no tensors and states the reason.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as loaded
from safetensors.torch import save
from torch import Tensor, nn

from heldout import shapes_no_number
from heldout.errors import HeldoutError
from heldout.storage.hashing import canonical, digest
from heldout.storage.sidecars import read_own, remade
from heldout.storage.specs import TrainSpec

# One key, since safetensors writes several in an order that changes from run to run.
METADATA_KEY = "heldout"
LENGTH = 8  # bytes at the beginning, the length of the JSON header after them


@dataclass(frozen=True)
class Checkpoint:
    """A training's spec, its weights, and the reason of its numerical failure, if any."""

    spec: TrainSpec
    weights: dict[str, Tensor]
    failed: str | None


def write(path: Path, spec: TrainSpec, weights: dict[str, Tensor], failed: str | None = None) -> None:
    """Write a checkpoint; the same arguments give the same bytes."""
    metadata = {METADATA_KEY: canonical({"spec": spec.content, "failed": failed})}
    path.write_bytes(save({name: weight.cpu().contiguous() for name, weight in weights.items()}, metadata))


@shapes_no_number
def load(path: Path, expected: str) -> Checkpoint:
    """Read a checkpoint, after comparing its hash with the spec file beside it.

    Args:
        path: the file.
        expected: the digest of the planned training.

    Raises:
        HeldoutError: the file is damaged, is not a checkpoint of this package, or belongs to another training.
    """
    stored = read_own(path)
    found = digest_in(stored, path)
    if found != expected:
        raise HeldoutError(f"{path} holds training {found}, but {expected} was planned; {remade(path)}")
    content = _content(stored, path)
    try:
        return Checkpoint(TrainSpec.of(content["spec"]), loaded(stored), content["failed"])
    except (SafetensorError, HeldoutError, KeyError, ValueError) as error:
        raise _damaged(path, error) from error


def digest_in(stored: bytes, path: Path) -> str:
    """Return the digest of the spec in a checkpoint of this or an older version.

    Args:
        stored: the file's content.
        path: the file, for messages.

    Raises:
        HeldoutError: the file is damaged or is not a checkpoint of this package.
    """
    try:
        return digest(_content(stored, path)["spec"])
    except (KeyError, ValueError) as error:
        raise _damaged(path, error) from error


def restore(model: nn.Module, checkpoint: Checkpoint, path: Path) -> None:
    """Load the weights into a freshly built model.

    Raises:
        HeldoutError: names or shapes differ.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in checkpoint.weights.items()}
    if wanted != given:
        name = min(name for name in wanted | given if wanted.get(name) != given.get(name))
        raise HeldoutError(
            f"{path}: {name} is {given.get(name, 'missing')}, the model has {wanted.get(name, 'no such tensor')}; "
            "delete the file and run again"
        )
    model.load_state_dict(checkpoint.weights)


def _content(stored: bytes, path: Path) -> dict[str, Any]:
    """Return what the header says: the spec and the reason of a failure."""
    end = LENGTH + int.from_bytes(stored[:LENGTH], "little")
    try:
        content = json.loads(json.loads(stored[LENGTH:end])["__metadata__"][METADATA_KEY])
        if not isinstance(content, dict):
            raise ValueError("its header holds no object")
        return content
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> HeldoutError:
    return HeldoutError(f"{path} is damaged or no checkpoint ({error}); {remade(path)}")
