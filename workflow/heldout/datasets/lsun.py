"""LSUN: photographs of ten scenes in colour, 300 of each for validation and up to three million for training.

    <folder>/<scene>_val_lmdb/data.mdb     the official test part
    <folder>/<scene>_train_lmdb/data.mdb   for the scenes to train on

`heldout fetch lsun --folder FOLDER` downloads the ten validation archives from a mirror. The official address is plain
http, where anyone on the way can alter them: it needs `--md5` with the checksum that the experiment states for FOLDER.
Download the training archives (43 GB for bedroom) yourself: http://dl.yf.io/lsun/scenes/<scene>_train_lmdb.zip.
`train` names the scenes whose training images are read; the default is all scenes with a training folder. For each, the
first `train_images` by key are read; the keys are hashes, so this is equivalent to a random sample. Without any
validation folder, a stratified fifth is the test part.

Each image is scaled to a shorter side of `size` pixels, and its centre is cropped.

Source: Yu, Seff, Zhang, Song, Funkhouser, Xiao, arXiv 1506.03365, 2015, http://dl.yf.io/lsun/scenes/ (unpack
<scene>_val_lmdb.zip and <scene>_train_lmdb.zip in a folder). No checksums are published, so `md5` pins the folder.
"""

import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from pydantic import Field

from heldout import registry
from heldout.datasets import LabelledImages, OwnFolder
from heldout.datasets._photographs import DAMAGED, FORMS, FolderOptions, square
from heldout.errors import HeldoutError

ADDRESS = "http://dl.yf.io/lsun/scenes/"
SCENES = (
    "bedroom",
    "bridge",
    "church_outdoor",
    "classroom",
    "conference_room",
    "dining_room",
    "kitchen",
    "living_room",
    "restaurant",
    "tower",
)
Scene = Literal[SCENES]


class Params(FolderOptions):
    size: Literal[32, 64] = Field(64, description="side in pixels")
    classes: list[Scene] = Field(list(SCENES), min_length=2, description="the scenes")
    train: list[Scene] | None = Field(
        None, description="scenes whose training images are read; none: those of `classes` with a training folder"
    )
    train_images: int = Field(
        3000, ge=2, description="training images per scene, the first by key; bedroom has 3,033,042"
    )


@registry.dataset(
    "lsun",
    # An archive of 300 photographs has some 5 MB.
    source=OwnFolder(ADDRESS, archives=tuple(f"{scene}_val_lmdb.zip" for scene in SCENES), largest=200_000_000),
    counts=(0, 300 * len(SCENES)),  # `train_images` determines the number of training images
)
class LSUN:
    def __init__(self, params: Params) -> None:
        self.params = params

    def read(self, raw: Path) -> LabelledImages:
        """Read the training images scene by scene, then the validation images.

        Raises:
            HeldoutError: lmdb is not installed, a folder is missing or damaged, or an image cannot be read.
        """
        classes = self.params.classes
        train = self.params.train
        if train is None:
            train = [scene for scene in classes if (raw / f"{scene}_train_lmdb").is_dir()]
        # Without any validation folder, a fifth of each scene's training images becomes the test part.
        has_val = any((raw / f"{scene}_val_lmdb").is_dir() for scene in classes) or set(train) != set(classes)
        parts = [(scene, "train") for scene in train or classes[:1]]
        parts += [(scene, "val") for scene in classes if has_val]
        for name in (f"{scene}_{part}_lmdb" for scene, part in parts):
            if not (raw / name).is_dir():
                raise HeldoutError(f"{raw} has no folder {name}; unpack {ADDRESS}{name}.zip there")
        images: list[np.ndarray] = []
        labels, official_test, sources = [], [], []
        for scene, part in parts:
            most = self.params.train_images if part == "train" else None
            folder = raw / f"{scene}_{part}_lmdb"
            for key, value in _first(folder, most):  # the keys are in order
                images.append(self._square(folder, key, value))
                labels.append(classes.index(scene))
                official_test.append(part == "val")
                sources.append(f"{scene} {part} {key}")
        return LabelledImages(np.stack(images), np.array(labels), np.array(official_test), sources)

    def _square(self, folder: Path, key: str, value: bytes) -> np.ndarray:
        """Return one image, uint8 `(3, size, size)`."""
        try:
            image = Image.open(io.BytesIO(value), formats=FORMS).convert("RGB")
        except DAMAGED as error:
            raise HeldoutError(
                f"{folder.resolve()}: the image {key} cannot be read ({error}); unpack its archive again"
            ) from error
        return square(image, self.params.size)


def _first(folder: Path, most: int | None) -> Iterator[tuple[str, bytes]]:
    """Yield the first `most` images of a database, or all, each with its key."""
    try:
        import lmdb
    except ImportError as error:
        raise HeldoutError(f"lsun needs {error.name}; run: pip install -e '.[lsun]'") from error
    folder = folder.resolve()
    try:
        with lmdb.open(str(folder), readonly=True, lock=False, readahead=False) as environment:
            size = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
            if (folder / "data.mdb").stat().st_size < size:  # reading it would be a bus error
                raise lmdb.Error("data.mdb is cut off")
            with environment.begin() as transaction:
                for key, value in islice(transaction.cursor(), most):
                    yield key.decode(errors="replace"), value
    except lmdb.Error as error:
        raise HeldoutError(f"{folder} is not a complete database ({error}); unpack its archive again") from error
