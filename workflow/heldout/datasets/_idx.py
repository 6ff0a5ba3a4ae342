"""The IDX files in which MNIST and its drop-in replacements are published, read by torchvision."""

import gzip
import shutil
import tempfile
from pathlib import Path

import numpy as np

from heldout.datasets import LabelledImages

FILES = tuple(f"{part}-{kind}-ubyte.gz" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))


def read_idx(raw: Path) -> LabelledImages:
    """Read the four `.gz` files in `raw`: the official training part, then the official test part."""
    images, labels = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name in FILES:
            (images if "images" in name else labels).append(_read(raw / name, Path(folder)))
    official_test = np.repeat([False, True], [len(part) for part in labels])
    return LabelledImages(np.concatenate(images)[:, None], np.concatenate(labels), official_test)


def _read(path: Path, folder: Path) -> np.ndarray:
    from torchvision.datasets.mnist import read_image_file, read_label_file  # 4 seconds, so only where it is used

    unpacked = folder / path.stem
    with gzip.open(path) as packed, open(unpacked, "wb") as file:
        shutil.copyfileobj(packed, file)
    return (read_image_file if "images" in path.name else read_label_file)(str(unpacked)).numpy()
