"""A method to copy: the distance to the median training image. One line that says what the score is.

    score = sum_pixels |x - median of the training images|^power

This first line is shown by `heldout methods`; the formula above is the score, in the source's notation.

Source: authors, venue and year; the section or equation, and the code where the paper's values are incomplete.
Deviations: everything that differs from the source, and why. Here: this score is not from a paper.
"""

from pydantic import Field
from torch import Tensor

from heldout import registry
from heldout.methods import Known, Method, MethodParams


class Params(MethodParams):
    """Parameters besides `block`; the defaults are the source's values."""

    power: float = Field(1.0, gt=0, description="exponent of the differences (where the value is from)")


@registry.method(
    "my_method",  # the name of this file
    paper="ours",  # authors, venue and year, for the documentation and the terminal
    reads=("images",),  # fitted to the training images; or parts of a model, such as ("generator",)
    cost="one subtraction",  # the time per image, in words
    cost_class="fit",  # registry.COST_CLASSES; `forward` for a method that calls a model's networks
    family="shallow",  # registry.FAMILIES: sets its hue in figures
    components=("largest",),  # columns beside the score, if any
    small={"block": 4},  # parameters of a fast scoring, for the conformance tests
)
class MyMethod(Method):
    def __init__(self, params: Params) -> None:
        self.params = params

    def fit(self, known: Known) -> Tensor:
        """Return the median image, `(C, H, W)`."""
        # Seed every random draw with `known.seed`.
        return known.images.median(dim=0).values

    # A method that reads a model has no `fit`: `prepared` is the model. `default_model` in the registration names the
    # model of its paper. `prepare` does work that would otherwise be repeated for every block: see adgan.py.

    def score(self, prepared: Tensor, images: Tensor, keys: Tensor) -> dict[str, Tensor]:
        """Return the score, and the largest difference of a pixel."""
        differences = (images - prepared).abs().flatten(1)  # (N, C * H * W)
        # Use only the image's own values; seed draws with `keys`: see elbo.py. Higher = more anomalous.
        return {"score": differences.pow(self.params.power).sum(1), "largest": differences.amax(1)}

    # With `offers=("rebuild",)` a method also has `rebuild`, its reconstructions for figures: see reconstruction.py.
