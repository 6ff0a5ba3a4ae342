"""What an unfinished training or scoring has done: a rerun goes on from there and ends with the same bits.

One file per digest, replaced as a whole: tensors, and everything else as JSON in its header, which runs no code when
read. It is dropped as soon as the result is there. What was saved on another device or by another PyTorch is not gone
on from, since its last bits would differ.
"""

import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from heldout.storage.files import SCRATCH, whole_file
from heldout.storage.hashing import canonical, digest

FOLDER = Path("results", SCRATCH, "saves")
METADATA_KEY = "heldout"
PATIENCE_S = 5  # within which several requests to stop are one
_TENSOR = "tensor in this file"


class Saves:
    """The saved state of one training or scoring.

    Args:
        spec: its identity.
        made_with: what else decides the last bits, such as inputs, device and versions.
        every_s: seconds between two saves.
    """

    def __init__(self, spec: dict[str, Any], made_with: dict[str, Any], every_s: float) -> None:
        name = spec.get("model") or spec["method"]
        self.path = FOLDER / f"{name}-{digest(spec)}.safetensors"
        self._identity = json.loads(canonical({"spec": spec, "made_with": made_with}))
        self._every_s = every_s
        self._saved_at = time.monotonic()

    @property
    def is_due(self) -> bool:
        return time.monotonic() - self._saved_at >= self._every_s

    def save(self, state: dict[str, Any]) -> None:
        """Write a state: nested dicts and lists of tensors, numbers, words and None."""
        tensors: dict[str, torch.Tensor] = {}
        content = _apart(state, tensors)
        metadata = {METADATA_KEY: json.dumps({"identity": self._identity, "state": content})}
        with whole_file(self.path) as temporary:
            temporary.write_bytes(save(tensors, metadata))
        self._saved_at = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """Return the saved state, or None, with a line on stderr if there is one that will not do."""
        if not self.path.is_file():
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                content = json.loads((file.metadata() or {})[METADATA_KEY])
                if content["identity"] != self._identity:
                    return self._refuse("it was saved on another device, by other versions, or from other inputs")
                return _together(content["state"], file)
        except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
            return self._refuse(f"it is damaged ({error})")

    def drop(self) -> None:
        """Delete the state, and what a killed process has left of writing one."""
        for path in (self.path, *Path("results", SCRATCH).glob(f"{self.path.name}.*.partial")):
            path.unlink(missing_ok=True)

    def _refuse(self, reason: str) -> None:
        print(f"{self.path} is not gone on from: {reason}; starting over", file=sys.stderr)


class Stop:
    """Whether somebody has asked this process to stop, and which way."""

    signal: int | None = None

    def leave(self, done: str) -> None:
        """End the process as the signal would have, after a line that says what is done and saved."""
        print(f"stopped: {done} is done and saved; a rerun goes on from there", file=sys.stderr)
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + self.signal)


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Let SIGTERM and Ctrl-C ask for a stop between two steps instead of ending the process at once.

    A step can be long, so one that is noticed seconds after the first ends it at once; not sooner, since Snakemake
    hands on to its jobs what their terminal has sent them already.
    """
    stop, before = Stop(), {}
    asked_at = 0.0

    def ask(number: int, _: FrameType | None) -> None:
        nonlocal asked_at
        if stop.signal is None:
            stop.signal, asked_at = number, time.monotonic()
        elif time.monotonic() - asked_at > PATIENCE_S:
            signal.signal(number, before[number])
            signal.raise_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) != signal.SIG_IGN:  # as in the background of a shell, where Ctrl-C means others
            before[number] = signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _apart(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    """Return a state as JSON knows it: tensors by their names in the file, keys that are numbers in pairs."""
    if torch.is_tensor(value):
        name = str(len(tensors))
        # A copy, since two names may stand for one tensor, which the file's format refuses.
        tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {_TENSOR: name}
    if isinstance(value, dict):
        return {"pairs": [[key, _apart(item, tensors)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_apart(item, tensors) for item in value]
    return value


def _together(content: Any, file: Any) -> Any:
    if isinstance(content, dict):
        if _TENSOR in content:
            return file.get_tensor(content[_TENSOR])
        return {key: _together(item, file) for key, item in content["pairs"]}
    return [_together(item, file) for item in content] if isinstance(content, list) else content
