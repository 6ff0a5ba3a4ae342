"""A method to copy: the distance to the median training image. One line that says what the score is.

    score = d(x) / mean of d over the training images,  d(x) = sum_pixels |x - median of the training images|^power

This first line is shown by `heldout methods`; the formula above is the score, in the source's notation.

Source: authors, venue and year; the section or equation, and the code where the paper's values are incomplete.
Deviations: everything that differs from the source, and why. Here: this score is not from a paper.
"""

import torch
from pydantic import Field
from torch import Tensor

from heldout import registry
from heldout.errors import HeldoutError, NumericalFailure
from heldout.methods import Known, Method, MethodParams


class Params(MethodParams):
    """Parameters besides `block`; the defaults are the source's values."""

    power: float = Field(1.0, gt=0, description="exponent of the differences (where the value is from)")
    sample: int | None = Field(None, ge=1, description="number of training images, drawn with the seed; none: all")


@registry.method(
    "my_method",  # the name of this file without `.py`
    paper="ours",  # authors, venue and year, for the documentation and the terminal
    reads=("images",),  # fitted to the training images; or parts of a model, such as ("generator",)
    cost="one subtraction",  # the time per image, in words
    cost_class="fit",  # registry.COST_CLASSES; `forward` for a method that calls a model's networks
    family="shallow",  # registry.FAMILIES: sets its hue in figures
    components=("largest",),  # columns beside the score, if any
    small={"block": 4},  # parameters of a fast scoring, for the conformance tests
)
class MyMethod(Method):  # the name of the class is free
    def __init__(self, params: Params) -> None:
        self.params = params

    def fit(self, known: Known) -> tuple[Tensor, Tensor]:
        """Return the median image, `(C, H, W)`, and the mean distance of the training images to it."""
        images, sample = known.images, self.params.sample
        if sample is not None:
            if sample > len(images):
                # The user can correct it: the run stops with this line. Any other exception names a line of the code.
                raise HeldoutError(f"my_method: sample: {sample} is more than the {len(images)} training images")
            rng = torch.Generator().manual_seed(known.seed)  # every random draw follows from the run's seed
            images = images[torch.randperm(len(images), generator=rng)[:sample].to(images.device)]
        median = images.median(dim=0).values
        mean = self._distances(images - median).mean()
        if mean == 0:
            # These data have no such score: the tables show the method as failed for this class, with this reason.
            raise NumericalFailure("the training images are identical: their distances are 0")
        return median, mean

    # A method that reads a model has no `fit`: `prepared` is the model. `default_model=` in the registration names the
    # model of its paper. `prepare` does work that would otherwise be repeated for every block: see adgan.py.

    def score(self, prepared: tuple[Tensor, Tensor], images: Tensor, keys: Tensor) -> dict[str, Tensor]:
        """Return the score, and the largest difference of a pixel."""
        median, mean = prepared
        differences = images - median
        # Use only the image's own values; seed draws with `keys`: see elbo.py. Higher = more anomalous.
        return {"score": self._distances(differences) / mean, "largest": differences.abs().flatten(1).amax(1)}

    def _distances(self, differences: Tensor) -> Tensor:
        """Return d of each image, `(N,)`, from its differences to the median, `(N, C, H, W)`."""
        return differences.abs().pow(self.params.power).flatten(1).sum(1)

    # With `offers=("rebuild",)` a method also has `rebuild`, its reconstructions for figures: see reconstruction.py.
