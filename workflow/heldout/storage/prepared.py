"""Reads prepared arrays: the images of a dataset as uint8."""

from pathlib import Path

import numpy as np
import torch

from heldout.errors import HeldoutError
from heldout.networks.shape import ImageShape
from heldout.storage.manifests import SplitManifest, content_sha256


def image_shape(images_path: Path) -> ImageShape:
    """Return the shape of a prepared array's images; reads only its header."""
    _, channels, side, _ = np.load(images_path, mmap_mode="r", allow_pickle=False).shape
    return ImageShape(channels, side)


def part_of(images_path: Path, manifest: SplitManifest, part: str) -> torch.Tensor:
    """Return the images of a part, uint8 `(N, C, H, W)`, after checking their hash in the manifest.

    Raises:
        HeldoutError: the prepared array has changed.
    """
    array = np.load(images_path, mmap_mode="r", allow_pickle=False)
    if content_sha256(array, manifest.part(part)) != manifest.content[part]:
        raise HeldoutError(
            f"{images_path} no longer holds the {part} images of the split; delete it and the split, and run again"
        )
    return torch.from_numpy(array[manifest.part(part)])
