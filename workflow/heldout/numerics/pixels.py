"""Conversion of stored images (uint8, 0..255) to network inputs (float32 in [-1, 1]).

Source: ADGAN section 4.1 ("rescaled to assume pixel values in [-1, 1]"), the range of the generators' tanh.
"""

import numpy as np
import torch
from torch import Tensor

RESIZED_AT_ONCE = 1000  # images; resizing uses float32, and all of CIFAR-10 would take 6 GiB


def to_unit_range(images: Tensor) -> Tensor:
    """Return uint8 `(N, C, H, W)` as float32 in [-1, 1]."""
    return images.to(torch.float32).div_(127.5).sub_(1.0)


def padded_side(side: int) -> int:
    """Return the smallest power of two that is at least `side`: 28 -> 32."""
    return 1 << (side - 1).bit_length()


def pad_to_square(images: np.ndarray, side: int) -> np.ndarray:
    """Return uint8 `(N, C, H, W)` centred on a black square of `side` pixels."""
    count, channels, height, width = images.shape
    top, left = (side - height) // 2, (side - width) // 2
    padded = np.zeros((count, channels, side, side), np.uint8)
    padded[:, :, top : top + height, left : left + width] = images
    return padded


def resized(images: np.ndarray, size: int | None) -> np.ndarray:
    """Return uint8 images padded (black) to a power of two, and resized from there to `size` (bilinear) if given."""
    side = padded_side(max(images.shape[-2:]))
    images = pad_to_square(images, side)
    if size is None or size == side:
        return images
    from torchvision.transforms.functional import resize  # takes 4 seconds to import

    chunks = torch.from_numpy(images).split(RESIZED_AT_ONCE)
    return torch.cat([resize(chunk, [size, size], antialias=True) for chunk in chunks]).numpy()
