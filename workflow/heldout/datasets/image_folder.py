"""Your own images: a folder with one folder per class, any sizes and formats.

    <folder>/<class>/**/<image>.png, .jpg, .bmp, .tif, .webp

Each image is scaled until its shorter side has `size` pixels, and its centre is cut out; 16 bits become 8, and what is
transparent becomes black. There is no official test part, so a stratified fifth is set aside.

Source: the user; `md5` pins the content, as `dvc add` reports it.
"""

from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps
from pydantic import Field

from heldout import registry
from heldout.errors import HeldoutError
from heldout.folders import files_in
from heldout.labelled import LabelledImages

ENDINGS = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


class Params(registry.DatasetOptions):
    size: Literal[32, 64] = Field(64, description="side in pixels")
    channels: Literal[1, 3] = Field(3, description="1: grey, 3: colour")
    classes: list[str] = Field(min_length=2, description="names of the folders in it, one per class")
    folder: str = Field(description="where it lies; no part of any identity")
    md5: str | None = Field(
        None, pattern=r"^[0-9a-f]{32}(\.dir)?$", description="pins its files, as in FOLDER.dvc; none: as they are"
    )


@registry.dataset("image_folder", classes=(), files={})
class ImageFolder:
    def __init__(self, params: Params) -> None:
        self.params = params

    def read(self, raw: Path) -> LabelledImages:
        """Read every image, class by class in their order, and within a class by name.

        Raises:
            HeldoutError: a class has no images, a folder is no class, or an image cannot be read.
        """
        files = _images_by_class(raw, self.params.classes)
        images = [self._read(path) for paths in files.values() for path in paths]
        labels = np.repeat(np.arange(len(files)), [len(paths) for paths in files.values()])
        return LabelledImages(np.stack(images), labels, np.zeros(len(labels), bool))

    def _read(self, path: Path) -> np.ndarray:
        """Return one image, uint8 `(C, size, size)`."""
        try:
            with Image.open(path) as opened:
                image = _eight_bit(ImageOps.exif_transpose(opened), path)
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise HeldoutError(f"{path} cannot be read as an image ({error}); replace it or move it away") from error
        if "A" in image.getbands() or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
        image = image.convert("L" if self.params.channels == 1 else "RGB")
        image = ImageOps.fit(image, (self.params.size, self.params.size), Image.Resampling.BILINEAR)
        return np.atleast_3d(np.asarray(image, np.uint8)).transpose(2, 0, 1)  # (H, W, C) -> (C, H, W)


def _images_by_class(folder: Path, classes: list[str]) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {name: [] for name in classes}
    for path in files_in(folder):
        name = path.parts[0]
        if len(path.parts) > 1 and name not in found:
            raise HeldoutError(f"{folder / name} is no class of this experiment; add {name!r} to `classes`, or move it")
        if len(path.parts) > 1 and path.suffix.lower() in ENDINGS:
            found[name].append(folder / path)
    for name, images in found.items():
        if not images:
            raise HeldoutError(f"{folder / name} holds no images ({', '.join(ENDINGS)})")
    return found


def _eight_bit(image: Image.Image, path: Path) -> Image.Image:
    """Return 16-bit grey as 8-bit; Pillow's own conversion would cut off all above 255.

    Raises:
        HeldoutError: 32 bits a pixel, whose range nobody states.
    """
    if image.mode in ("I", "F"):
        raise HeldoutError(f"{path} has 32 bits a pixel, in no stated range; save it with 8 or 16 bits")
    if not image.mode.startswith("I;16"):
        return image
    return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
