"""Forwards on blocks of one fixed size: an image's result cannot depend on how many others there are.

A network's kernels may add up in another order for another batch size. So every block has the same size, and the last
one is filled up with copies of its last row, whose results are dropped. Memory decides how many rows a caller holds,
never the size of a block.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor


def blocks(*rows: Tensor, size: int) -> Iterator[list[Tensor]]:
    """Yield blocks of `size` rows of tensors with the same first dimension N >= 1, the last block filled up."""
    for first in range(0, len(rows[0]), size):
        block = [tensor[first : first + size] for tensor in rows]
        missing = size - len(block[0])
        if missing:
            block = [torch.cat([tensor, tensor[-1:].expand(missing, *tensor.shape[1:])]) for tensor in block]
        yield block


def in_blocks(function: Callable[..., Tensor | tuple[Tensor, ...]], *rows: Tensor, size: int) -> tuple[Tensor, ...]:
    """Apply `function` to blocks of `size` rows and return its results, joined, for the given rows alone.

    Args:
        function: takes as many tensors of `size` rows as there are `rows`; returns a tensor or several.
        rows: tensors with the same first dimension N >= 1.
        size: rows in each call.
    """
    results = [function(*block) for block in blocks(*rows, size=size)]
    parts = [result if isinstance(result, tuple) else (result,) for result in results]
    return tuple(torch.cat(each)[: len(rows[0])] for each in zip(*parts, strict=True))
