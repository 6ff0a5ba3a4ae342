"""What folders of photographs share: where they lie, the hash that pins them, and squares cut out of any size."""

import struct

import numpy as np
from PIL import Image, ImageOps
from pydantic import Field

from heldout.datasets import DatasetOptions

# What Pillow raises where a file is damaged: which of them depends on the format and the place.
DAMAGED = (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError)

# The only forms that are opened, whatever a file's name says: Pillow would start Ghostscript for PostScript.
FORMS = ("BMP", "JPEG", "PNG", "TIFF", "WEBP")


class FolderOptions(DatasetOptions):
    folder: str = Field(description="where it lies; no part of any identity")
    md5: str | None = Field(
        None, pattern=r"^[0-9a-f]{32}(\.dir)?$", description="pins its files, as in FOLDER.dvc; none: as they are"
    )


def square(image: Image.Image, size: int) -> np.ndarray:
    """Return the centre of a grey or RGB image whose shorter side is scaled to `size`: uint8 `(C, size, size)`."""
    image = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
    return np.atleast_3d(np.asarray(image, np.uint8)).transpose(2, 0, 1)  # (H, W, C) -> (C, H, W)
