"""Squared distance to the mean training image: the floor, which a useful method must exceed.

    score = ||x - mean of the training images||^2

Source: ours; the first row of every table.
"""

from torch import Tensor

from heldout import registry
from heldout.methods import Known, Method, MethodParams


@registry.method(
    "mean_image",
    paper="ours",
    reads=("images",),
    cost="one subtraction",
    cost_class="fit",
    family="floor",
    small={"block": 4},
)
class MeanImage(Method):
    def __init__(self, params: MethodParams) -> None:
        self.params = params

    def fit(self, known: Known) -> Tensor:
        """Return the mean of the normal images, `(C, H, W)` float64."""
        return known.images.double().mean(dim=0)

    def score(self, mean: Tensor, images: Tensor, keys: Tensor) -> dict[str, Tensor]:
        return {"score": (images.double() - mean).square().flatten(1).sum(1)}
