"""What an autoencoder loses of an image.

    score = sum_pixels (x - d(e(x)))^2,  or of absolute differences

Source: Deecke et al., ECML-PKDD 2018, section 4.2, which scores its DCAE "according to reconstruction losses"; squared
is the loss of the autoencoders of Ruff et al., ICML 2018 (lukasruff/Deep-SVDD-PyTorch).
Deviations: none.
"""

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from heldout import registry
from heldout.numerics.blocks import in_blocks


class Params(registry.MethodParams):
    norm: Literal["squared", "absolute"] = Field(
        "squared", description="of the differences that are summed; the ADGAN paper is silent, Deep SVDD's are squared"
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
class Reconstruction:
    def __init__(self, params: Params) -> None:
        self.params = params

    def score(self, model: nn.Module, images: Tensor, keys: Tensor) -> dict[str, Tensor]:
        """Score images; higher is more anomalous.

        Args:
            model: has an `autoencoder`, in eval mode: images -> images in [-1, 1].
            images: `(N, C, H, W)` float32 in [-1, 1].
            keys: unused: nothing is drawn.
        """

        def lost(images: Tensor) -> Tensor:
            difference = (images - model.autoencoder(images)).flatten(1)
            return (difference.square() if self.params.norm == "squared" else difference.abs()).sum(1)

        (score,) = in_blocks(lost, images, size=self.params.block)
        return {"score": score}

    def rebuild(self, model: nn.Module, images: Tensor, keys: Tensor) -> Tensor:
        """Return the reconstruction d(e(x)) of each image, `(N, C, H, W)`; arguments as `score`'s."""
        return in_blocks(model.autoencoder, images, size=self.params.block)[0]
