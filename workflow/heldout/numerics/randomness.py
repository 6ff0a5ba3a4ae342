"""Seeds of all random draws, derived from (run seed, purpose, ...), so that parallelism and batching have no effect.

No function draws from PyTorch's or NumPy's global generators.
"""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from heldout.numerics.pixels import to_unit_range


def derive(*parts: object) -> int:
    """Return a seed in [0, 2^63) for the named parts, such as `derive(seed, "weights")`."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1


def generator(*parts: object, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a fresh generator on `device`, seeded by the named parts."""
    return torch.Generator(device).manual_seed(derive(*parts))


def first_weights(seed: int, model: str) -> torch.Generator:
    """Return the source of a model's first weights, on the CPU."""
    return generator(seed, "weights", model)


def batch_order(seed: int, model: str) -> torch.Generator:
    """Return the source of the order of the training images, on the CPU."""
    return generator(seed, "batches", model)


def latents(seed: int, model: str, device: torch.device | str) -> torch.Generator:
    """Return the source of every z in a training, on its device."""
    return generator(seed, "z", model, device=device)


def image_keys(seed: int, indices: Sequence[int]) -> Tensor:
    """Return `(N,)` int64, one seed per image that depends only on its index and the run's seed."""
    return torch.tensor([derive(seed, "image", int(index)) for index in indices], dtype=torch.int64)


def starting_points(keys: Tensor, starts: int, latent: int) -> Tensor:
    """Return `(N, starts, latent)` draws from N(0, I), each image's from its own generator.

    They are drawn on the CPU, so that they are the same for every device.
    """
    return torch.stack([torch.randn(starts, latent, generator=generator(int(key), "starts")) for key in keys])


def posterior_noise(keys: Tensor, draws: int, latent: int) -> Tensor:
    """Return `(N, draws, latent)` draws from N(0, I), independent per image and of `starting_points`."""
    return torch.stack([torch.randn(draws, latent, generator=generator(int(key), "posterior")) for key in keys])


def batches(
    images: Tensor, size: int, rng: torch.Generator, classes: Tensor | None = None, skip: int = 0
) -> Callable[[], Any]:
    """Return a function that returns the next `(size, C, H, W)` float32 images in [-1, 1].

    Each epoch has a new random order. A batch can span two epochs, so every batch is full.

    Args:
        images: uint8 `(N, C, H, W)`, on the device of the training.
        size: images per batch.
        rng: a generator on the CPU.
        classes: `(N,)` int64, the images' class numbers; with them, the function returns images and numbers.
        skip: number of images that were returned before an interruption.
    """
    order = _endless_order(len(images), rng)
    next(itertools.islice(order, skip, skip), None)  # now, so that `rng` has its former state

    def draw() -> Any:
        chosen = torch.tensor([next(order) for _ in range(size)], device=images.device)
        batch = to_unit_range(images[chosen]).contiguous(memory_format=torch.channels_last)
        return batch if classes is None else (batch, classes[chosen])

    return draw


def _endless_order(count: int, rng: torch.Generator) -> Iterator[int]:
    while True:
        yield from torch.randperm(count, generator=rng).tolist()


def autocast(precision: str, device: torch.device) -> AbstractContextManager:
    """Return the context of a training step: none for `float32`, mixed precision for `bfloat16`."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
