"""The floor: squared distance to the mean training image. Below it, a method has learnt nothing of use.

    score = ||x - mean of the training images||^2

Source: ours; every table shows it first.
"""

from torch import Tensor

from heldout import registry


@registry.method(
    "mean_image",
    paper="ours",
    reads=("images",),
    cost="one subtraction",
    cost_class="fit",
    family="floor",
    small={"block": 4},
)
class MeanImage:
    def __init__(self, params: registry.MethodParams) -> None:
        self.params = params

    def fit(self, known: registry.Known) -> Tensor:
        """Return the mean of the normal images, `(C, H, W)` float64."""
        return known.images.double().mean(dim=0)

    def score(self, model: Tensor, images: Tensor, keys: Tensor) -> dict[str, Tensor]:
        """Score images; higher is more anomalous.

        Args:
            model: the mean training image.
            images: `(N, C, H, W)` float32 in [-1, 1].
            keys: unused: nothing is drawn.
        """
        return {"score": (images.double() - model).square().flatten(1).sum(1)}
