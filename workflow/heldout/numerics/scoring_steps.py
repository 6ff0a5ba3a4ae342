"""The computations of a scoring, which `stages/score.py` runs in a loop. They form the blocks that a method scores."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from heldout.numerics import randomness
from heldout.numerics.blocks import blocks, in_blocks
from heldout.numerics.pixels import to_unit_range

if TYPE_CHECKING:
    from heldout.combinations import Combination
    from heldout.methods import Method


def ready(model: nn.Module) -> nn.Module:
    """Return a trained model as methods read it: in eval mode, with weights that require no gradient."""
    return model.eval().requires_grad_(False)


def score(method: "Method", prepared: Any, images: Tensor, indices: list[int], seed: int) -> dict[str, Tensor]:
    """Return score and components of uint8 images `(N, C, H, W)`, each `(N,)` on the CPU.

    Args:
        method: a registered method.
        prepared: the return value of its `fit` or `prepare`.
        images: on the device of the scoring.
        indices: the images' rows in the prepared array; random draws of an image depend only on its index and the seed.
        seed: the run's.
    """
    return score_images(method, prepared, to_unit_range(images), randomness.image_keys(seed, indices))


def score_images(method: "Method", prepared: Any, images: Tensor, keys: Tensor) -> dict[str, Tensor]:
    """As `score`, for float32 images in [-1, 1] with one key each."""
    found = [method.score(prepared, *block) for block in blocks(images, keys, size=_size(method, images))]
    return {name: torch.cat([part[name].cpu() for part in found])[: len(images)] for name in found[0]}


def combined(rule: "Combination", fitted: Any, components: Tensor) -> Tensor:
    """Return the combined scores `(N,)` of components `(N, k)` by a fitted rule."""
    return in_blocks(lambda rows: rule.score(fitted, rows), components, size=rule.params.block)[0]


def rebuild(method: "Method", prepared: Any, images: Tensor, keys: Tensor) -> Tensor:
    """Return a method's reconstructions of images; arguments as for `score_images`."""
    return _joined(method, method.rebuild, prepared, images, keys)


def path(method: "Method", prepared: Any, images: Tensor, keys: Tensor) -> Tensor:
    """Return the paths of a method's searches; arguments as for `score_images`."""
    return _joined(method, method.path, prepared, images, keys)


def _joined(method: "Method", part: Any, prepared: Any, images: Tensor, keys: Tensor) -> Tensor:
    return in_blocks(lambda *block: part(prepared, *block), images, keys, size=_size(method, images))[0]


def _size(method: "Method", images: Tensor) -> int:
    """Return the number of images per call of a method; a search forms blocks of starting points itself."""
    return len(images) if method.params.rows == "starts" else method.params.block
