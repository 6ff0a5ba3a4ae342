"""Reconstruction error of an autoencoder.

    score = sum_pixels (x - d(e(x)))^2,  or of absolute differences

Source: Deecke et al., ECML-PKDD 2018, section 4.2, which scores its DCAE "according to reconstruction losses". The
squared error is the loss of the autoencoders of Ruff et al., ICML 2018 (lukasruff/Deep-SVDD-PyTorch).
Deviations: none.
"""

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from heldout import registry
from heldout.methods import Method, MethodParams


class Params(MethodParams):
    norm: Literal["squared", "absolute"] = Field(
        "squared", description="squared, as in Deep SVDD, or absolute differences; the ADGAN paper does not say which"
    )


@registry.method(
    "reconstruction",
    paper="Deecke et al., ECML-PKDD 2018",
    reads=("autoencoder",),
    cost="one forward of encoder and decoder",
    cost_class="forward",
    family="autoencoder",
    default_model="dcae",
    offers=("rebuild",),
    small={"block": 4},
)
class Reconstruction(Method):
    def __init__(self, params: Params) -> None:
        self.params = params

    def score(self, model: nn.Module, images: Tensor, keys: Tensor) -> dict[str, Tensor]:
        lost = (images - model.autoencoder(images)).flatten(1)
        return {"score": (lost.square() if self.params.norm == "squared" else lost.abs()).sum(1)}

    def rebuild(self, model: nn.Module, images: Tensor, keys: Tensor) -> Tensor:
        """Return d(e(x))."""
        return model.autoencoder(images)
