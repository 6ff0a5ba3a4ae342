"""Checkpoints: safetensors files, which run no code when read, with the spec in their metadata.

After a numerical failure, the checkpoint has no tensors and states the reason.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from heldout import shapes_no_number
from heldout.errors import HeldoutError
from heldout.storage.hashing import canonical, digest
from heldout.storage.specs import TrainSpec

# One key, since safetensors writes several in an order that changes from run to run.
METADATA_KEY = "heldout"


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
    """Read a checkpoint.

    Args:
        path: the file.
        expected: the digest of the planned training.

    Raises:
        HeldoutError: the file is damaged, is not a checkpoint of this package, or belongs to another training.
    """
    with _opened(path) as file:
        content = _content(file)
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    found = digest(content["spec"])
    if found != expected:
        raise HeldoutError(f"{path} holds training {found}, but {expected} was planned; delete it and run again")
    return Checkpoint(TrainSpec.of(content["spec"]), weights, content["failed"])


def digest_in(path: Path) -> str:
    """Return the digest of the spec in a checkpoint of this or an older version; reads only the header.

    Raises:
        HeldoutError: the file is damaged or is not a checkpoint of this package.
    """
    with _opened(path) as file:
        return digest(_content(file)["spec"])


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


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise HeldoutError(f"{path} is damaged or no checkpoint ({error}); delete it and run again") from error


def _content(file: Any) -> dict[str, Any]:
    return json.loads((file.metadata() or {})[METADATA_KEY])
