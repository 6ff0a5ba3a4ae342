"""GANomaly: distance between the code of an image and the code of its reconstruction.

    z = E1(x),  x' = decoder(z),  z' = E2(x')
    latent = d(z, z'),   contextual = sum |x - x'|,   score = latent or contextual
    scaled = (latent - min) / (max - min)

min and max are the extremes of `latent` over the training images; the model stores them after its last training step.

Source: Akcay, Atapour-Abarghouei, Breckon, ACCV 2018. d is the mean of squares in the authors' code
(samet-akcay/ganomaly, lib/model.py); it is the default because it gave their figures. The survey has the l2 norm (eq.
12), and the paper, as far as we know, the l1 norm. `scaled` is the survey's eq. 13 with a corrected sign: the survey
prints s + min, which would not start at 0.
Deviations: min and max come from the training images, not from the test set as in paper and code, so that a scaled
score does not depend on other test images; it may lie outside [0, 1], and should for an anomaly. If all training images
have the same distance, `scaled` is missing. The code scores in training mode (batch statistics of the test set), we in
eval mode.
"""

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from heldout import registry
from heldout.methods import Method, MethodParams
from heldout.numerics.latent_distance import DISTANCES


class Params(MethodParams):
    distance: Literal["mean_squared", "l1", "l2"] = Field(
        "mean_squared", description="distance of the two codes: of the authors' code, the paper, the survey (eq. 12)"
    )
    error: Literal["latent", "contextual"] = Field(
        "latent", description="the score: distance of the codes, or L1 distance of the images"
    )


@registry.method(
    "ganomaly",
    paper="Akcay et al., ACCV 2018",
    reads=("encoder", "decoder", "second_encoder", "latent_range"),
    cost="one forward of two encoders and the decoder",
    cost_class="forward",
    family="encoder",
    default_model="ganomaly",
    components=("latent", "contextual", "scaled"),
    offers=("rebuild",),
    small={"block": 4},
)
class GANomaly(Method):
    def __init__(self, params: Params) -> None:
        self.params = params

    def score(self, model: nn.Module, images: Tensor, keys: Tensor) -> dict[str, Tensor]:
        """Return the score, `latent`, `contextual` and, if the training images' distances differ, `scaled`."""
        distance = DISTANCES[self.params.distance]
        z = model.encoder(images)
        made = model.decoder(z)
        latent, contextual = distance(z, model.second_encoder(made)), (images - made).abs().flatten(1).sum(1)
        found = {"latent": latent, "contextual": contextual}
        least, greatest = model.latent_range[list(DISTANCES).index(self.params.distance)]
        if greatest > least:
            found["scaled"] = (latent - least) / (greatest - least)
        return {"score": found[self.params.error], **found}

    def rebuild(self, model: nn.Module, images: Tensor, keys: Tensor) -> Tensor:
        """Return x'."""
        return model.decoder(model.encoder(images))
