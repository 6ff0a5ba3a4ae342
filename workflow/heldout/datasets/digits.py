"""The 1,797 handwritten digits of scikit-learn: grey, 8x8 resized to 32x32, no download.

Grey values from 0 to 16 become 0 to 255. The networks need at least 32 pixels, so each image is resized to 32
(bilinear). Unlike MNIST's digits, these have no black border. `size: 64` resizes the images of 32 pixels.

Source: Alpaydin, Kaynak 1998, UCI machine learning repository, "Optical Recognition of Handwritten Digits";
scikit-learn (`sklearn.datasets.load_digits`) contains its test set, which has no official test part of its own.
"""

from pathlib import Path

import numpy as np

from heldout import registry
from heldout.datasets import DatasetOptions, Installed, LabelledImages

FILE = "digits.csv.gz"
WHITE = 16
SIDE, STRETCHED = 8, 32


@registry.dataset(
    "digits",
    classes=tuple("0123456789"),
    source=Installed("sklearn.datasets", "data", files={FILE: "9b335364a7bfd63947c7480a5bd51f2d"}),
    shape=(1, STRETCHED),
    counts=(1_797, 0),
)
class Digits:
    def __init__(self, params: DatasetOptions) -> None:
        self.params = params

    def read(self, raw: Path) -> LabelledImages:
        from heldout.numerics.pixels import resized

        rows = np.loadtxt(raw / FILE, delimiter=",", dtype=np.int64)  # 64 pixels and the digit
        grey = np.rint(rows[:, :-1] * (255 / WHITE)).astype(np.uint8).reshape(-1, 1, SIDE, SIDE)
        return LabelledImages(resized(grey, STRETCHED), rows[:, -1], np.zeros(len(rows), bool))
