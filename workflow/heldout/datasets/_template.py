"""A dataset to copy: two photographs cut into tiles, whose class is the photograph. One line that says what it is.

Copy this file to `my_dataset.py`, replace every `my_dataset` and the code that reads the images, and delete the
comments. The copy works unchanged: `heldout datasets my_dataset` shows it, and an experiment with
`datasets: {my_dataset: {}}` uses it.

Source: who published the images, where and when; here the photographs `china` and `flower` of scikit-learn.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from heldout import registry
from heldout.datasets import DatasetOptions, Installed, LabelledImages

SIDE = 32


@registry.dataset(
    "my_dataset",  # the name of this file without `.py`
    classes=("china", "flower"),  # lower-case words, in the order of the labels 0, 1, ...
    # Files of an installed package with their MD5 checksums (`md5sum FILE`). For files on the internet, use
    # Download(files=..., addresses=("https://...",)); it takes them from the mirror if one is set.
    source=Installed(
        "sklearn.datasets",
        "images",
        files={
            "china.jpg": "1c6116212e35016fa7c3b67c81ec1335",
            "flower.jpg": "5896f0d20066ea484089d086cd8e5a8d",
        },
    ),
    shape=(3, SIDE),  # channels and side of the images that `read` returns, for estimates of memory and time
    counts=(520, 0),  # images in the training and test part; 0: no official test part, so a fifth of each class is used
)
class MyDataset:
    # For options of its own: `class Params(DatasetOptions)` with pydantic fields, and `params: Params` here.
    def __init__(self, params: DatasetOptions) -> None:
        self.params = params

    def read(self, raw: Path) -> LabelledImages:
        """Read the tiles row by row, photograph by photograph, from the files above in the folder `raw`."""
        images, labels, sources = [], [], []
        for label, name in enumerate(("china", "flower")):
            photograph = np.asarray(Image.open(raw / f"{name}.jpg"))  # (H, W, 3) uint8
            for top in range(0, photograph.shape[0] - SIDE + 1, SIDE):
                for left in range(0, photograph.shape[1] - SIDE + 1, SIDE):
                    tile = photograph[top : top + SIDE, left : left + SIDE]
                    images.append(tile.transpose(2, 0, 1))  # (32, 32, 3) -> (3, 32, 32)
                    labels.append(label)
                    # The split is drawn by these names, because the pixels of a JPEG depend on the decoder. Lossless
                    # formats need no `sources`: the split is then drawn by the pixels.
                    sources.append(f"{name} {top} {left}")
        official_test = np.zeros(len(images), bool)  # no image is in an official test part
        return LabelledImages(np.stack(images), np.array(labels), official_test, sources)
