"""Reads prepared arrays: the images of a dataset as uint8."""

from pathlib import Path

import numpy as np
import torch

from heldout import shapes_no_number
from heldout.errors import HeldoutError, NotThere
from heldout.networks.shape import ImageShape
from heldout.storage.manifests import SplitManifest, content_sha256
from heldout.storage.sidecars import remade


def image_shape(images_path: Path) -> ImageShape:
    """Return the shape of a prepared array's images; reads only its header."""
    check_array(images_path)
    _, channels, side, _ = np.load(images_path, mmap_mode="r", allow_pickle=False).shape
    return ImageShape(channels, side)


def part_of(images_path: Path, manifest: SplitManifest, part: str) -> torch.Tensor:
    """Return the images of a part, uint8 `(N, C, H, W)`, after checking their hash in the manifest.

    Raises:
        HeldoutError: the prepared array is damaged or has changed.
    """
    check_array(images_path, manifest.part(part))
    array = np.load(images_path, mmap_mode="r", allow_pickle=False)
    if content_sha256(array, manifest.part(part)) != manifest.content[part]:
        raise HeldoutError(f"{images_path} no longer holds the {part} images of the split; {remade(images_path)}")
    return torch.from_numpy(array[manifest.part(part)])


@shapes_no_number
def check_array(images_path: Path, indices: list[int] | None = None) -> None:
    """Raise HeldoutError unless the file is an array of square uint8 images and has all of `indices`."""
    try:
        array = np.load(images_path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise NotThere(f"{images_path} is missing; run snakemake again") from error
    except Exception as error:  # NumPy and the parsers that it uses raise a dozen classes
        raise HeldoutError(f"{images_path} is damaged or no array ({error}); {remade(images_path)}") from error
    # An archive of arrays has no shape.
    shape: tuple[int, ...] = getattr(array, "shape", ())
    if len(shape) != 4 or shape[2] != shape[3] or array.dtype != np.uint8 or not array.flags.c_contiguous:
        raise HeldoutError(f"{images_path} is damaged: it holds no square uint8 images; {remade(images_path)}")
    if indices and not 0 <= min(indices) <= max(indices) < len(array):
        raise HeldoutError(
            f"{images_path} has {len(array)} images, but its split names image {max(indices)}; {remade(images_path)}"
        )
