"""AlexNet, trained on ImageNet: the weights behind the feature vectors of the ADGAN paper's shallow baselines.

Source: Krizhevsky, arXiv 1404.5997 (2014), as torchvision trained and publishes it (AlexNet_Weights.IMAGENET1K_V1).
torchvision puts the first eight digits of the file's SHA-256 into its name; no longer checksum is published.
"""

from heldout import registry
from heldout.datasets import Download


@registry.weights(
    "alexnet",
    source=Download(
        files={"alexnet-owt-7be5be79.pth": "sha256:7be5be79"},
        addresses=("https://download.pytorch.org/models/",),
        otherwise="use `features: efficientnet`, which needs no download",
    ),
)
class AlexNet:
    """The file's reader is `numerics/features.py`."""
