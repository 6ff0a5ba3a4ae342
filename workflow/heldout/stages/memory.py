"""How many images of a block are scored at a time: as many as memory has room for.

What is held of an image, such as what was made from each of its starting points, is held for all that are scored at a
time. Blocks of forwards keep their size (`blocks.py`), so no score depends on anything here.
"""

import gc
import math
import sys
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from heldout.errors import HeldoutError
from heldout.stages.device import held_memory_mib, synchronise

# How the libraries say that there is no room, beside MemoryError and PyTorch's OutOfMemoryError.
NO_ROOM = (
    "out of memory",
    "unable to find an engine",
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "alloc_failed",
)
AIM = 0.95  # of the limit, since memory does not grow quite evenly


class Portions:
    """Scores images in portions; after an error for want of memory, in portions of half the size.

    Under a limit the first portion is what fills one block: a smaller one would be filled up, and hold no less. Further
    ones grow while what was measured says that the next has room.

    Args:
        params: the method's: `block`, and where it searches from several points, `starts`.
        limit_mib: what the process may hold: on a GPU of its memory, else of RAM; None: no limit.
        device: of the scoring.
    """

    def __init__(self, params: Any, limit_mib: int | None, device: torch.device) -> None:
        self._most = params.block
        self._limit_mib, self._device = limit_mib, device
        self._grows = limit_mib is not None
        one_block = max(1, params.block // getattr(params, "starts", 1))
        self.size = one_block if self._grows else self._most
        self._first_mib, self._peak_mib = held_memory_mib(device)
        self._measured: list[tuple[int, float, bool]] = []  # images, the peak, whether they raised it
        self._has_exceeded = False

    def score(self, score: Callable[[slice], dict[str, Tensor]], images: slice) -> dict[str, Tensor]:
        """Return what `score` gives for a slice of images, joined from portions of it.

        Raises:
            HeldoutError: there is no room for a single image.
        """
        parts = []
        first = images.start
        while first < images.stop:
            portion = slice(first, min(first + self.size, images.stop))
            found = self._tried(score, portion)
            if found is None:
                self._halve(portion.stop - portion.start)
                continue
            if self._limit_mib is not None and portion.stop - portion.start == self.size:
                self._learn()
            parts.append(found)
            first = portion.stop
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _tried(self, score: Callable[[slice], dict[str, Tensor]], portion: slice) -> dict[str, Tensor] | None:
        """Return the scores, or None where memory was not enough."""
        try:
            found = score(portion)
            synchronise(self._device)
            return found
        except (MemoryError, RuntimeError) as error:
            said = str(error).lower()
            if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(words in said for words in NO_ROOM):
                return None
            raise

    def _halve(self, images: int) -> None:
        if images == 1:
            raise HeldoutError(
                "out of memory, with one image at a time; give the method a lower `block` (which moves scores in "
                "their last digits), run fewer jobs at once, or free memory"
            )
        gc.collect()  # an error's frames may lie in a cycle, and hold tensors
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        self.size, self._grows = images // 2, False
        print(f"out of memory with {images} images at a time; going on with {self.size}, same scores", file=sys.stderr)

    def _learn(self) -> None:
        """Measure what the last portion took, and choose the size of the next."""
        before, (_, self._peak_mib) = self._peak_mib, held_memory_mib(self._device)
        if self._peak_mib > self._limit_mib and not self._has_exceeded:
            self._exceeded()
        elif self._grows:
            self._measured.append((self.size, self._peak_mib, self._peak_mib > before))
            size = min(self._most, 2 * self.size, self._with_room())
            if size > self.size:
                self.size = size
                return
            self._grows = False
            if self.size < self._most:
                print(f"memory: {self._limit_mib} MiB, enough for {self.size} images at a time", file=sys.stderr)

    def _with_room(self) -> int:
        """Return how many images fit, if memory grows with them as it has so far; 0 or less where too much is held."""
        (size, peak_mib, has_risen), *earlier = reversed(self._measured)
        per_image = (peak_mib - self._first_mib) / size  # too much: with what does not grow, such as a block's maps
        if earlier and has_risen and earlier[0][2]:  # else an older peak hides what the smaller portion took
            per_image = min(per_image, (peak_mib - earlier[0][1]) / (size - earlier[0][0]))
        return size + math.floor((AIM * self._limit_mib - peak_mib) / max(per_image, 1e-3))

    def _exceeded(self) -> None:
        """Go back to the portion before, for good; where there is none, say that the limit is not kept."""
        self._has_exceeded, self._grows = True, False
        took = f"memory: {self._limit_mib} MiB, but {self._peak_mib:.0f} were held with {self.size} images at a time"
        if self._measured:
            self.size = self._measured[-1][0]
            print(f"{took}; going on with {self.size}, same scores", file=sys.stderr)
        else:
            print(f"{took}, as few as fill a block; a lower `block` or fewer threads may hold less", file=sys.stderr)
