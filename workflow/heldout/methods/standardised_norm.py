"""Squared norm of an image after standardising each pixel on the training images: the second floor.

    score = sum_p ((x_p - mean_p) / max(deviation_p, floor))^2

It is the Mahalanobis distance to the training images with a diagonal covariance. A method below this floor has learnt
nothing about dependencies between pixels.

Source: ours; a floor beside `mean_image`, which weights all pixels equally.
Deviations: none. `floor` keeps a nearly constant pixel, such as one of the border, from dominating the score.
"""

from pydantic import Field
from torch import Tensor

from heldout import registry
from heldout.methods import Known, Method, MethodParams

GREY_LEVEL = 2 / 255  # in [-1, 1]


class Params(MethodParams):
    floor: float = Field(
        1.0, gt=0, description="smallest standard deviation of a pixel, in grey levels of 0..255 (ours)"
    )


@registry.method(
    "standardised_norm",
    paper="ours",
    reads=("images",),
    cost="one division",
    cost_class="fit",
    family="floor",
    small={"block": 4},
)
class StandardisedNorm(Method):
    def __init__(self, params: Params) -> None:
        self.params = params

    def fit(self, known: Known) -> tuple[Tensor, Tensor]:
        """Return the mean and the deviation of every pixel of the normal images, `(C, H, W)` float64."""
        images = known.images.double()
        deviation = images.std(dim=0, correction=0)
        return images.mean(dim=0), deviation.clamp(min=self.params.floor * GREY_LEVEL)

    def score(self, fitted: tuple[Tensor, Tensor], images: Tensor, keys: Tensor) -> dict[str, Tensor]:
        mean, deviation = fitted
        return {"score": ((images.double() - mean) / deviation).square().flatten(1).sum(1)}
