"""Fashion-MNIST: 70,000 pictures of clothes, 28x28, grey; 60,000 for training, 10,000 for testing.

Source: Xiao, Rasul, Vollgraf, arXiv 1708.07747; checksums as torchvision publishes them.
"""

from pathlib import Path

from heldout import registry
from heldout.datasets._idx import read_idx
from heldout.labelled import LabelledImages


class Options(registry.DatasetOptions):
    pass


@registry.dataset(
    "fashion_mnist",
    classes=(
        "t_shirt_top",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle_boot",
    ),
    files={
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    },
    official_test=True,
)
class FashionMNIST:
    addresses = (
        "/usr/share/datasets/fashion-mnist/",  # Debian's package dataset-fashion-mnist
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    )

    def __init__(self, params: Options) -> None:
        self.params = params

    def read(self, raw: Path) -> LabelledImages:
        return read_idx(raw)
