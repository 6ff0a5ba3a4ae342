"""MNIST: 70,000 handwritten digits, 28x28, grey; 60,000 for training, 10,000 for testing.

Source: LeCun, Cortes, Burges, http://yann.lecun.com/exdb/mnist; checksums as torchvision publishes them.
"""

from pathlib import Path

from heldout import registry
from heldout.datasets import DatasetOptions, Download, LabelledImages
from heldout.datasets._idx import read_idx


@registry.dataset(
    "mnist",
    classes=tuple("0123456789"),
    source=Download(
        files={
            "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
        },
        addresses=("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
        sizes={
            "train-images-idx3-ubyte.gz": 9_912_422,
            "train-labels-idx1-ubyte.gz": 28_881,
            "t10k-images-idx3-ubyte.gz": 1_648_877,
            "t10k-labels-idx1-ubyte.gz": 4_542,
        },
    ),
    shape=(1, 28),
    counts=(60_000, 10_000),
)
class MNIST:
    def __init__(self, params: DatasetOptions) -> None:
        self.params = params

    def read(self, raw: Path) -> LabelledImages:
        return read_idx(raw)
