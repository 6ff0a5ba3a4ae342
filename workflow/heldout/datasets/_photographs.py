"""Shared by folders of photographs: their path, the hash that pins them, and square crops of images of any size."""

import struct

import numpy as np
from PIL import Image, ImageOps
from pydantic import Field

from heldout.datasets import DatasetOptions

# The exceptions of Pillow for a damaged file; which one depends on the format and the position of the damage.
DAMAGED = (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError)

# The only formats that are read, independent of the file's name: for PostScript, Pillow would start Ghostscript.
FORMS = ("BMP", "JPEG", "PNG", "TIFF", "WEBP")


class FolderOptions(DatasetOptions):
    folder: str = Field(description="its path, which is not part of any digest")
    md5: str | None = Field(
        None, pattern=r"^[0-9a-f]{32}(\.dir)?$", description="hash of its files, from FOLDER.dvc; none: any files"
    )


def square(image: Image.Image, size: int) -> np.ndarray:
    """Return the centre of a grey or RGB image whose shorter side is scaled to `size`: uint8 `(C, size, size)`."""
    image = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
    return np.atleast_3d(np.asarray(image, np.uint8)).transpose(2, 0, 1)  # (H, W, C) -> (C, H, W)
