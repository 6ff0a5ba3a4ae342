"""Fashion-MNIST: 70,000 pictures of clothes, 28x28, grey; 60,000 for training, 10,000 for testing.

Source: Xiao, Rasul, Vollgraf, arXiv 1708.07747; checksums as torchvision publishes them.

Debian's package dataset-fashion-mnist holds the same files without the name and time in their gzip headers, as its
reproducible builds require. With both put back they are the official files, bit for bit.
"""

from pathlib import Path

from heldout import registry
from heldout.datasets import DatasetOptions, Download, LabelledImages
from heldout.datasets._idx import read_idx

# When the official files were packed, 2017-08-31 10:50 UTC: seconds in their gzip headers.
PACKED_AT = {"train": 1504176606, "t10k": 1504176627}
STRIPPED_HEADER, NAMED = 10, b"\x1f\x8b\x08\x08"  # its length in bytes; a gzip header with a file name


def restored(file: str, content: bytes) -> bytes:
    """Return Debian's version of a file with the official gzip header."""
    packed_at = PACKED_AT[file.partition("-")[0]].to_bytes(4, "little")
    name = file.removesuffix(".gz").encode() + b"\0"
    return NAMED + packed_at + content[8:STRIPPED_HEADER] + name + content[STRIPPED_HEADER:]


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
    source=Download(
        files={
            "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
        },
        addresses=(
            "/usr/share/datasets/fashion-mnist/",  # Debian's package
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        sizes={
            "train-images-idx3-ubyte.gz": 26_421_880,
            "train-labels-idx1-ubyte.gz": 29_515,
            "t10k-images-idx3-ubyte.gz": 4_422_102,
            "t10k-labels-idx1-ubyte.gz": 5_148,
        },
        restore=restored,
    ),
    shape=(1, 28),
    counts=(60_000, 10_000),
)
class FashionMNIST:
    def __init__(self, params: DatasetOptions) -> None:
        self.params = params

    def read(self, raw: Path) -> LabelledImages:
        return read_idx(raw)
