"""Your own images: a folder with one folder per class, any sizes and formats.

    <folder>/<class>/**/<image>.png, .jpg, .bmp, .tif, .webp
or  <folder>/train/<class>/**/<image> and <folder>/test/<class>/**/<image>; `val` can replace `test`

In the second layout, `test` is the official test part; a class may be in only one of the two folders, such as a type of
anomaly without training images. In the first layout, a stratified fifth is the test part.

Each image is scaled to a shorter side of `size` pixels, and its centre is cropped; 16 bits are reduced to 8, and
transparency becomes black. A damaged image is an error, or with `skip_unreadable` skipped and listed in the log.
`normal` lists the normal classes for the protocol `folders`; it does not change the images.

Source: the user; `md5` pins the content, as reported by `dvc add`.
"""

import sys
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps
from pydantic import Field

from heldout import registry, shapes_no_number
from heldout.datasets import LabelledImages, OwnFolder
from heldout.datasets._photographs import DAMAGED, FORMS, FolderOptions, square
from heldout.errors import HeldoutError
from heldout.storage.class_folders import ENDINGS, listed, shown
from heldout.storage.folders import files_in
from heldout.storage.hashing import file_sha256


class Params(FolderOptions):
    size: Literal[32, 64, 128, 256] = Field(64, description="side in pixels")
    channels: Literal[1, 3] = Field(3, description="1: grey, 3: colour")
    classes: list[str] = Field(min_length=2, description="names of the class folders")
    normal: list[str] | None = Field(None, description="normal classes for the protocol `folders`")
    skip_unreadable: bool = Field(
        False,
        description="skip damaged images and list them in the log; false: stop at one",
    )


@registry.dataset("image_folder", source=OwnFolder())
class ImageFolder:
    def __init__(self, params: Params) -> None:
        self.params = params

    def read(self, raw: Path) -> LabelledImages:
        """Read every image, ordered by part (training, test), class and name.

        Raises:
            HeldoutError: the folder has another layout, a class has no images, a folder is not a class, or an image
                cannot be read and is not skipped.
        """
        images, labels, official_test, sources, skipped = [], [], [], [], 0
        found = listed(raw, self.params.classes)
        _report_unread(raw)
        for is_test, label, path in found:
            try:
                images.append(self._read(path))
            except _UnreadableError as error:
                if not self.params.skip_unreadable:
                    raise HeldoutError(f"{error}; replace it or move it away, or set skip_unreadable: true") from error
                print(f"skipped: {error}", file=sys.stderr)
                skipped += 1
                continue
            labels.append(label)
            official_test.append(is_test)
            sources.append(file_sha256(path))
        if skipped:
            print(f"{skipped} of {skipped + len(images)} images skipped", file=sys.stderr)
        for label, name in enumerate(self.params.classes):
            if label not in labels:
                raise HeldoutError(f"{raw}: no readable image of the class {name!r}")
        return LabelledImages(np.stack(images), np.array(labels), np.array(official_test), sources)

    def _read(self, path: Path) -> np.ndarray:
        """Return one image, uint8 `(C, size, size)`."""
        try:
            with Image.open(path, formats=FORMS) as opened:
                image = _eight_bit(ImageOps.exif_transpose(opened), path)
            if "A" in image.getbands() or "transparency" in image.info:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
            image = image.convert("L" if self.params.channels == 1 else "RGB")
        except DAMAGED as error:
            raise _UnreadableError(f"{path} cannot be read as an image ({error})") from error
        return square(image, self.params.size)


class _UnreadableError(Exception):
    """A file that is not a complete image."""


@shapes_no_number
def _report_unread(folder: Path) -> None:
    """Name the files that are not read: those with other endings, and links to missing files."""
    dangling = [path.relative_to(folder) for path in sorted(folder.rglob("*")) if not path.exists()]
    others = [path for path in files_in(folder) if path.suffix.lower() not in ENDINGS]
    for paths, why in ((dangling, "is a link to a missing file"), (others, f"does not end in {', '.join(ENDINGS)}")):
        if paths:
            print(f"not read, since it {why}: {shown(paths)} ({len(paths)} files)", file=sys.stderr)


def _eight_bit(image: Image.Image, path: Path) -> Image.Image:
    """Return 16-bit grey as 8-bit; Pillow's own conversion would clip values above 255.

    Raises:
        HeldoutError: 32 bits per pixel, whose range is unknown.
    """
    if image.mode in ("I", "F"):
        raise HeldoutError(f"{path} has 32 bits per pixel and an unknown range; save it with 8 or 16 bits")
    if not image.mode.startswith("I;16"):
        return image
    return Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
