"""A dataset to copy: two photographs cut into tiles, whose class is the photograph. One line that says what it is.

Copy this file to `my_dataset.py`, replace every `my_dataset` and what is read, and delete the comments. It runs as it
is: `heldout datasets my_dataset` shows it, and `datasets: {my_dataset: {}}` in an experiment trains and tests on it.

Source: who published the images, where and when; here the photographs `china` and `flower` that scikit-learn carries.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from heldout import registry
from heldout.datasets import DatasetOptions, Installed, LabelledImages

SIDE = 32


@registry.dataset(
    "my_dataset",  # the name of this file
    classes=("china", "flower"),  # lower-case words, in the order of the labels 0, 1, ...
    # Files with their checksums (`md5sum FILE`). Download(files=..., addresses=("https://...",)) fetches them instead,
    # and takes them from the mirror where one is set.
    source=Installed(
        "sklearn.datasets",
        "images",
        files={
            "china.jpg": "1c6116212e35016fa7c3b67c81ec1335",
            "flower.jpg": "5896f0d20066ea484089d086cd8e5a8d",
        },
    ),
    shape=(3, SIDE),  # channels and side of what `read` returns, and how many images are for training and for testing:
    counts=(520, 0),  # for estimates of memory and time. 0: no official test part; a fifth of each class is set aside
)
class MyDataset:
    # Options of your own: `class Params(DatasetOptions)` with pydantic fields, and `params: Params` here.
    def __init__(self, params: DatasetOptions) -> None:
        self.params = params

    def read(self, raw: Path) -> LabelledImages:
        """Read the tiles row by row, photograph by photograph. `raw` holds the files named above."""
        images, labels, sources = [], [], []
        for label, name in enumerate(("china", "flower")):
            photograph = np.asarray(Image.open(raw / f"{name}.jpg"))  # (H, W, 3) uint8
            for top in range(0, photograph.shape[0] - SIDE + 1, SIDE):
                for left in range(0, photograph.shape[1] - SIDE + 1, SIDE):
                    tile = photograph[top : top + SIDE, left : left + SIDE]
                    images.append(tile.transpose(2, 0, 1))  # (32, 32, 3) -> (3, 32, 32)
                    labels.append(label)
                    # A JPEG's pixels depend on the decoder, so the split is drawn by this name of the tile. Leave
                    # `sources` out where the pixels are stored as they are.
                    sources.append(f"{name} {top} {left}")
        official_test = np.zeros(len(images), bool)  # none of them
        return LabelledImages(np.stack(images), np.array(labels), official_test, sources)
