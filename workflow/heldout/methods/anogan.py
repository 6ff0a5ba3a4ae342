"""AnoGAN: the best reconstruction that a long search over z finds, by pixels and by the discriminator's eyes.

    L(z) = (1 - weight) L_R + weight L_D,  L_R = sum |x - G(z)|,  L_D = sum |f(x) - f(G(z))|

`steps` Adam steps on z lower L; f is the discriminator's last feature map. The score is L at the final z; `residual`
and `feature` keep its two parts.

Source: Schlegl, Seebock, Waldstein, Schmidt-Erfurth, Langs, IPMI 2017; its equations as the survey restates them
(eqs. 4 to 7). Weight 0.1 and 500 steps agree with the public codes; the paper's step size is not known to us, so
`z_lr` is that of Efficient-GAN-Anomaly-Detection (gan/), 0.01, without its decay at steps 200 and 300.
Deviations: none known. One start per image; z, Adam's state and batch normalisation (eval mode) are fresh for each.
"""

from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor, nn

from heldout import registry
from heldout.blocks import in_blocks
from heldout.search import LatentParams, Settings, latent_search


class Params(LatentParams):
    steps: int = Field(500, ge=0, description="Adam steps on z (Gamma)")
    weight: float = Field(0.1, ge=0, le=1, description="share of the feature loss (lambda)")
    z_lr: float = Field(0.01, gt=0, description="Adam's step size on z")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's decay of the mean gradient")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the squared gradient")

    small: ClassVar[dict[str, Any]] = {"steps": 2, "block": 4}


@registry.method(
    "anogan",
    reads=("generator", "discriminator"),
    cost="steps forwards and backwards of generator and discriminator",
    cost_class="search",
    color="#0072b2",
    default_model="dcgan",
    components=("residual", "feature"),
)
class AnoGAN:
    def __init__(self, params: Params) -> None:
        self.params = params

    def score(self, model: nn.Module, images: Tensor, keys: Tensor) -> dict[str, Tensor]:
        """Score images; higher is more anomalous.

        Args:
            model: has a `generator` and a `discriminator`, in eval mode; comes back unchanged.
            images: `(N, C, H, W)` float32 in [-1, 1].
            keys: `(N,)` int64, the seed of each image's start.

        Returns:
            `score`, `residual` and `feature`: `(N,)` float32, L, L_R and L_D, sums over pixels and features.
        """
        params = self.params
        features = model.discriminator.features

        def parts(made: Tensor, images: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
            return _distance(made, images), _distance(features(made), wanted)

        def combined(residual: Tensor, feature: Tensor) -> Tensor:
            return (1 - params.weight) * residual + params.weight * feature

        given = params.model_dump(include=set(Settings.__dataclass_fields__))
        settings = Settings(starts=1, theta_lr=0.0, **given)
        (wanted,) = in_blocks(features, images, size=params.block)
        found = latent_search(model.generator, (images, wanted), keys, lambda *rows: combined(*parts(*rows)), settings)
        residual, feature = in_blocks(parts, found.made.squeeze(1), images, wanted, size=params.block)
        return {"score": combined(residual, feature), "residual": residual, "feature": feature}


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().flatten(1).sum(1)  # (N, ...) -> (N,)
