"""Limits memory by scoring a block of images in portions.

A search keeps several results for each image of a portion, such as the images generated from its starting points. The
blocks of its forward passes keep their size (`blocks.py`), so scores do not depend on portions. A method without
starting points scores whole blocks, because smaller portions would be padded to a block.
"""

import gc
import math
import sys
from collections.abc import Callable

import torch
from torch import Tensor

from heldout.errors import HeldoutError
from heldout.methods import MethodParams
from heldout.stages.device import held_memory_mib, synchronise

Score = Callable[[slice], dict[str, Tensor]]

# Messages of other exceptions than MemoryError and PyTorch's OutOfMemoryError when memory runs out.
NO_ROOM = (
    "out of memory",
    "unable to find an engine",
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "alloc_failed",
)
AIM = 0.95  # of the limit, since memory does not grow linearly


class Portions:
    """Scores images in portions; halves the portion's size after running out of memory.

    Under a limit, the first portion fills one block, since a smaller one would need as much memory. The following
    portions grow while measurements predict that the next one fits.

    Args:
        params: of the method.
        limit_mib: limit of the process's GPU memory, or of its RAM on the CPU; None: no limit.
        device: of the scoring.
    """

    def __init__(self, params: MethodParams, limit_mib: int | None, device: torch.device) -> None:
        self._most = params.block
        self._least = 1 if params.rows == "starts" else params.block
        self._limit_mib, self._device = limit_mib, device
        self._grows = limit_mib is not None
        self.size = params.images_per_block if self._grows else self._most
        self._first_mib, self._peak_mib = held_memory_mib(device)
        self._measured: list[tuple[int, float, bool]] = []  # images, peak in MiB, whether the peak rose
        self._has_exceeded = False

    def score(self, score: Score, images: slice) -> dict[str, Tensor]:
        """Return the results of `score` for a slice of images, joined over portions.

        Raises:
            HeldoutError: the smallest portion does not fit into memory.
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
                self._learn(self._limit_mib)
            parts.append(found)
            first = portion.stop
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _tried(self, score: Score, portion: slice) -> dict[str, Tensor] | None:
        """Return the scores, or None if memory ran out."""
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
        if images <= self._least:
            raise HeldoutError(
                f"out of memory with {images} image{'s' if images > 1 else ''} at a time; give the method a lower "
                "`block` (which changes the last digits of scores), run fewer jobs at once, or free memory"
            )
        gc.collect()  # the frames of an error may hold tensors in a reference cycle
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        self.size, self._grows = images // 2, False
        print(f"out of memory with {images} images at a time; trying {self.size}, same scores", file=sys.stderr)

    def _learn(self, limit_mib: int) -> None:
        """Measure the peak memory of the last portion and choose the size of the next."""
        before, (_, self._peak_mib) = self._peak_mib, held_memory_mib(self._device)
        if self._peak_mib > limit_mib and not self._has_exceeded:
            self._exceeded(limit_mib)
        elif self._grows:
            self._measured.append((self.size, self._peak_mib, self._peak_mib > before))
            size = min(self._most, 2 * self.size, self._with_room(limit_mib))
            if size > self.size:
                self.size = size
                return
            self._grows = False
            if self.size < self._most:
                print(f"memory: {limit_mib} MiB, enough for {self.size} images at a time", file=sys.stderr)

    def _with_room(self, limit_mib: int) -> int:
        """Return how many images fit by linear extrapolation; 0 or less if the limit is already exceeded."""
        (size, peak_mib, has_risen), *earlier = reversed(self._measured)
        per_image = (peak_mib - self._first_mib) / size  # an upper bound: part of it is constant
        if earlier and has_risen and earlier[0][2]:  # else an older peak hides that of the smaller portion
            per_image = min(per_image, (peak_mib - earlier[0][1]) / (size - earlier[0][0]))
        return size + math.floor((AIM * limit_mib - peak_mib) / max(per_image, 1e-3))

    def _exceeded(self, limit_mib: int) -> None:
        """Return to the previous size permanently; if there is none, print that the limit is exceeded."""
        self._has_exceeded, self._grows = True, False
        held = f"memory: {limit_mib} MiB, but {self._peak_mib:.0f} were held with {self.size} images at a time"
        if self._measured:
            self.size = self._measured[-1][0]
            print(f"{held}; continuing with {self.size}, same scores", file=sys.stderr)
        else:
            print(f"{held}, which fill one block; a lower `block` or fewer threads may hold less", file=sys.stderr)
