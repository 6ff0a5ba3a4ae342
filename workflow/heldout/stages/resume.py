"""Saved states of unfinished trainings and scorings; a rerun continues from them with bit-identical results.

There is one file per digest, replaced as a whole and deleted once the result exists. It begins with the SHA-256 of the
rest, and is read with `weights_only`, which runs no code. A damaged state is ignored, and so is one from another device
or another version of PyTorch, since the last bits would differ.
"""

import hashlib
import io
import pickle
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from heldout.errors import HeldoutError
from heldout.storage.files import SCRATCH, sweep, whole_file
from heldout.storage.hashing import canonical
from heldout.storage.specs import ScoreSpec, TrainSpec

FOLDER = Path("results", SCRATCH, "saves")
HASH_BYTES = 32
PATIENCE_S = 5  # requests to stop within this time count as one


class Saves:
    """The saved state of one training or scoring.

    Args:
        spec: of the training or scoring.
        made_with: everything else that affects the last bits, such as inputs, device and versions.
        every_s: seconds between two saves.
    """

    def __init__(self, spec: TrainSpec | ScoreSpec, made_with: dict[str, Any], every_s: float) -> None:
        name = spec.model if isinstance(spec, TrainSpec) else spec.method
        self.path = FOLDER / f"{name}-{spec.digest}.pt"
        self._identity = canonical({"spec": spec.content, "made_with": made_with})
        self._every_s = every_s
        self._saved_at = time.monotonic()

    @property
    def is_due(self) -> bool:
        return time.monotonic() - self._saved_at >= self._every_s

    def save(self, state: dict[str, Any]) -> None:
        """Write a state: nested dicts and lists of tensors, numbers, strings and None."""
        content = io.BytesIO()  # Python writes the file, since PyTorch's writer hides the system's error
        torch.save({"identity": self._identity, "state": state}, content)
        with whole_file(self.path) as temporary, open(temporary, "wb") as file:
            file.write(hashlib.sha256(content.getbuffer()).digest())
            file.write(content.getbuffer())
        self._saved_at = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """Return the saved state, tensors on the CPU; None if it is missing or, with a line on stderr, unusable."""
        if not self.path.is_file():
            return None
        try:
            content = torch.load(io.BytesIO(self._whole()), map_location="cpu", weights_only=True)
            if content["identity"] == self._identity:
                return content["state"]
            reason = "saved on another device, by other versions or another backend, or from other inputs"
        except (OSError, EOFError, RuntimeError, KeyError, ValueError, TypeError, pickle.UnpicklingError) as error:
            reason = f"it is damaged: {str(error).partition(chr(10))[0]}"
        print(f"ignoring the saved state {self.path} ({reason}); restarting", file=sys.stderr)
        return None

    def _whole(self) -> bytes:
        """Return the file's content after its hash; raises ValueError if they do not belong together."""
        stored = self.path.read_bytes()
        sha256, content = stored[:HASH_BYTES], stored[HASH_BYTES:]
        if hashlib.sha256(content).digest() != sha256:
            raise ValueError("its content does not have the SHA-256 that it states")
        return content

    def refused(self, reason: object) -> HeldoutError:
        """Return the error for a state that does not fit the training or scoring."""
        return HeldoutError(f"{self.path} is not a state of this work ({reason}); delete it and run again")

    def drop(self) -> None:
        """Delete the state, and what killed processes left beside it."""
        self.path.unlink(missing_ok=True)
        sweep(self.path.parent)


class Stop:
    """The signal that asked this process to stop, or 0."""

    signal = 0

    def leave(self, done: str) -> None:
        """Print what is done and saved, and end the process as the signal would have."""
        print(f"stopped: {done} is done and saved; a rerun continues from there", file=sys.stderr)
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + self.signal)


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Make SIGTERM and Ctrl-C request a stop between two steps instead of ending the process at once.

    A step can be long, so a signal that arrives more than PATIENCE_S after the first ends the process at once. Earlier
    signals are ignored, because Snakemake forwards signals that the terminal has already sent to its jobs.
    """
    stop = Stop()
    before: dict[int, Any] = {}
    asked_at = 0.0

    def ask(number: int, _: FrameType | None) -> None:
        nonlocal asked_at
        if not stop.signal:
            stop.signal, asked_at = number, time.monotonic()
        elif time.monotonic() - asked_at > PATIENCE_S:
            signal.signal(number, before[number])
            signal.raise_signal(number)

    for asked in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(asked) != signal.SIG_IGN:  # ignored, as in the background of a shell
            before[asked] = signal.signal(asked, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
