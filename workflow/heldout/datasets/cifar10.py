"""CIFAR-10: 60,000 photographs of ten classes, 32x32, colour; 50,000 for training, 10,000 for testing.

Source: Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html; checksums as torchvision publishes them.
"""

from pathlib import Path

import numpy as np

from heldout import registry
from heldout.datasets import DatasetOptions, Download, LabelledImages

FOLDER = "cifar-10-batches-py"


@registry.dataset(
    "cifar10",
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    source=Download(
        files={
            f"{FOLDER}/batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
            f"{FOLDER}/data_batch_1": "c99cafc152244af753f735de768cd75f",
            f"{FOLDER}/data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
            f"{FOLDER}/data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
            f"{FOLDER}/data_batch_4": "634d18415352ddfa80567beed471001a",
            f"{FOLDER}/data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
            f"{FOLDER}/test_batch": "40351d587109b95175f43aff81a1287e",
        },
        addresses=("https://www.cs.toronto.edu/~kriz/",),
        archive=("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"),
        sizes={
            "cifar-10-python.tar.gz": 170_498_071,
            f"{FOLDER}/batches.meta": 158,
            f"{FOLDER}/data_batch_1": 31_035_704,
            f"{FOLDER}/data_batch_2": 31_035_320,
            f"{FOLDER}/data_batch_3": 31_035_999,
            f"{FOLDER}/data_batch_4": 31_035_696,
            f"{FOLDER}/data_batch_5": 31_035_623,
            f"{FOLDER}/test_batch": 31_035_526,
        },
    ),
    shape=(3, 32),
    counts=(50_000, 10_000),
)
class CIFAR10:
    def __init__(self, params: DatasetOptions) -> None:
        self.params = params

    def read(self, raw: Path) -> LabelledImages:
        from torchvision import datasets  # 4 seconds, so only where it is used

        parts = [datasets.CIFAR10(raw, train) for train in (True, False)]  # checks every file's checksum first
        images = np.concatenate([part.data for part in parts]).transpose(0, 3, 1, 2)  # (N, 32, 32, 3) -> (N, 3, 32, 32)
        labels = np.concatenate([part.targets for part in parts])
        return LabelledImages(images, labels, np.repeat([False, True], [len(part) for part in parts]))
