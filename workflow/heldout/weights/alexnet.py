"""AlexNet, trained on ImageNet: the weights behind the feature vectors of the ADGAN paper's shallow baselines.

Source: Krizhevsky, arXiv 1404.5997 (2014), as torchvision trained and publishes it (AlexNet_Weights.IMAGENET1K_V1).
torchvision puts the first eight digits of the file's SHA-256 into its name; the other digits are those that several
projects with a copy of the file state alike.
"""

from heldout import registry
from heldout.datasets import Download

SHA256 = "sha256:7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02"


@registry.weights(
    "alexnet",
    source=Download(
        files={"alexnet-owt-7be5be79.pth": SHA256},
        addresses=("https://download.pytorch.org/models/",),
        sizes={"alexnet-owt-7be5be79.pth": 244_408_911},
        otherwise="use `features: efficientnet`, which needs no download",
    ),
)
class AlexNet:
    """The file's reader is `numerics/features.py`."""
