"""Forwards on blocks of a fixed size, so that an image's result cannot depend on the number of images.

The summation order of a network's kernels may depend on the batch size. So every block has the same size: copies of the
last row fill the last block, and their results are dropped. Memory limits the rows that a caller holds, never the size
of a block.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor


def blocks(*rows: Tensor, size: int) -> Iterator[list[Tensor]]:
    """Yield blocks of `size` rows of tensors with the same first dimension N >= 1; the last block is filled."""
    for first in range(0, len(rows[0]), size):
        block = [tensor[first : first + size] for tensor in rows]
        missing = size - len(block[0])
        if missing:
            block = [torch.cat([tensor, tensor[-1:].expand(missing, *tensor.shape[1:])]) for tensor in block]
        yield block


def in_blocks(function: Callable[..., Tensor | tuple[Tensor, ...]], *rows: Tensor, size: int) -> tuple[Tensor, ...]:
    """Apply `function` to blocks of `size` rows and return its concatenated results for the given rows.

    Args:
        function: takes one tensor of `size` rows for each of `rows`; returns one tensor or several.
        rows: tensors with the same first dimension N >= 1.
        size: rows in each call.
    """
    results = [function(*block) for block in blocks(*rows, size=size)]
    parts = [result if isinstance(result, tuple) else (result,) for result in results]
    return tuple(torch.cat(each)[: len(rows[0])] for each in zip(*parts, strict=True))
