"""A method to copy: the distance to the median training image. One line that says what the score is.

    score = sum_pixels |x - median of the training images|^power

This first line is shown by `heldout methods`; the formula above is the score, in the source's notation.

Source: authors, venue and year; the section or equation, and the code where the paper's values are incomplete.
Deviations: everything that differs from the source, and why. Here: this is no paper's score.
"""

from pydantic import Field
from torch import Tensor

from heldout import registry
from heldout.methods import Known, Method, MethodParams


class Params(MethodParams):
    """What an experiment may set, besides `block`: the source's values as defaults."""

    power: float = Field(1.0, gt=0, description="exponent of the differences (where the value is from)")


@registry.method(
    "my_method",  # the name of this file
    paper="ours",  # authors, venue and year, for the documentation and the terminal
    reads=("images",),  # it is fitted to the training images; else parts of a model, such as ("generator",)
    cost="one subtraction",  # how the time per image grows, in words
    cost_class="fit",  # registry.COST_CLASSES; `forward` for a method that calls a model's networks
    family="shallow",  # registry.FAMILIES: which hue it has in figures
    components=("largest",),  # columns beside the score, if any
    small={"block": 4},  # parameters for a scoring of seconds, for the conformance tests
)
class MyMethod(Method):
    def __init__(self, params: Params) -> None:
        self.params = params

    def fit(self, known: Known) -> Tensor:
        """Return the median image, `(C, H, W)`."""
        # Never random by itself: `known.seed` is the seed of everything that is drawn here.
        return known.images.median(dim=0).values

    # A method that reads a model has no `fit`. It is given the model as `prepared`; `default_model` above names the
    # model of its paper, and `prepare` does once what would otherwise be repeated for every block: see adgan.py.

    def score(self, prepared: Tensor, images: Tensor, keys: Tensor) -> dict[str, Tensor]:
        """Return the score, and the largest difference of a pixel."""
        differences = (images - prepared).abs().flatten(1)  # (N, C * H * W)
        # Sums over an image's own numbers only; draws, if any, from `keys`: see elbo.py. Higher = more anomalous.
        return {"score": differences.pow(self.params.power).sum(1), "largest": differences.amax(1)}

    # With `offers=("rebuild",)` a method also has `rebuild`, its reconstructions for figures: see reconstruction.py.
