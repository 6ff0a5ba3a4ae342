"""f-AnoGAN: reconstruction error of a trained encoder, in pixels and discriminator features.

    score = mean (x - G(E(x)))^2 + kappa mean (f(x) - f(G(E(x))))^2

f is the discriminator's last feature map. The component `latent` is mean (E(x) - E(G(E(x))))^2, which the paper reports
beside the score.

Source: Schlegl, Seebock, Waldstein, Langs, Schmidt-Erfurth, Medical Image Analysis 2019, section 2.3; kappa 1 and means
as in the authors' code (tSchlegl/f-AnoGAN).
Deviations: none known.
"""

from pydantic import Field
from torch import Tensor, nn

from heldout import registry
from heldout.methods import Method, MethodParams


class Params(MethodParams):
    kappa: float = Field(1.0, ge=0, description="weight of the feature error")


@registry.method(
    "fanogan",
    paper="Schlegl et al., Medical Image Analysis 2019",
    reads=("encoder", "generator", "discriminator"),
    cost="one forward of encoder, generator and discriminator, each twice at most",
    cost_class="forward",
    family="encoder",
    default_model="izi_encoder",
    components=("residual", "feature", "latent"),
    offers=("rebuild",),
    small={"block": 4},
)
class FAnoGAN(Method):
    def __init__(self, params: Params) -> None:
        self.params = params

    def score(self, model: nn.Module, images: Tensor, keys: Tensor) -> dict[str, Tensor]:
        """Return the score and its components, means over pixels, features and dimensions."""
        z = model.encoder(images)
        made = model.generator(z)
        features = model.discriminator.features
        residual, feature = _mean_square(images - made), _mean_square(features(images) - features(made))
        latent = _mean_square(z - model.encoder(made))
        score = residual + self.params.kappa * feature
        return {"score": score, "residual": residual, "feature": feature, "latent": latent}

    def rebuild(self, model: nn.Module, images: Tensor, keys: Tensor) -> Tensor:
        """Return G(E(x))."""
        return model.generator(model.encoder(images))


def _mean_square(difference: Tensor) -> Tensor:
    return difference.square().flatten(1).mean(1)  # (N, ...) -> (N,)
