"""AnoGAN: error of the reconstruction found by a long search over z, in pixels and discriminator features.

    L(z) = (1 - weight) L_R + weight L_D,  L_R = sum |x - G(z)|,  L_D = sum |f(x) - f(G(z))|

`steps` Adam steps on z minimise L; f is the discriminator's last feature map. The score is L at the final z; the
components `residual` and `feature` are L_R and L_D.

Source: Schlegl, Seebock, Waldstein, Schmidt-Erfurth, Langs, IPMI 2017; its equations as the survey restates them
(eqs. 4 to 7). Weight 0.1 and 500 steps agree with the public codes. The paper's step size is unknown to us; `z_lr` 0.01
is that of Efficient-GAN-Anomaly-Detection (gan/), without its decay at steps 200 and 300.
Deviations: none known. Each image has one start with its own z and Adam state; batch normalisation is in eval mode.
"""

from collections.abc import Callable
from typing import NamedTuple

from pydantic import Field
from torch import Tensor, nn

from heldout import registry
from heldout.methods import Method
from heldout.methods._search import LatentParams, settings
from heldout.search.fixing import fixed
from heldout.search.latent import Found, LatentSearch

Features = Callable[[Tensor], Tensor]  # images -> f(images)


class Params(LatentParams):
    steps: int = Field(500, ge=0, description="Adam steps on z (Gamma)")
    weight: float = Field(0.1, ge=0, le=1, description="weight of the feature loss L_D (lambda)")
    z_lr: float = Field(0.01, gt=0, description="Adam's step size on z")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's decay of the mean gradient")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the squared gradient")


class Prepared(NamedTuple):
    search: LatentSearch
    features: Features


@registry.method(
    "anogan",
    paper="Schlegl et al., IPMI 2017",
    reads=("generator", "discriminator"),
    cost="steps forwards and backwards of generator and discriminator",
    cost_class="search",
    family="search",
    default_model="dcgan",
    components=("residual", "feature"),
    offers=("rebuild", "path"),
    small={"steps": 2, "block": 4},
    passes="1 + steps",
    shortened="steps",
)
class AnoGAN(Method):
    def __init__(self, params: Params) -> None:
        self.params = params

    def prepare(self, model: nn.Module) -> Prepared:
        features = fixed(model.discriminator).features

        def loss(*rows: Tensor) -> Tensor:
            return self._combined(*_parts(features, *rows))

        return Prepared(LatentSearch(model.generator, loss, settings(self.params, starts=1, theta_lr=0.0)), features)

    def score(self, prepared: Prepared, images: Tensor, keys: Tensor) -> dict[str, Tensor]:
        """Return L, L_R and L_D, summed over pixels and features."""
        wanted = prepared.features(images)
        made = prepared.search.find((images, wanted), keys).made.squeeze(1)
        residual, feature = _parts(prepared.features, made, images, wanted)
        return {"score": self._combined(residual, feature), "residual": residual, "feature": feature}

    def rebuild(self, prepared: Prepared, images: Tensor, keys: Tensor) -> Tensor:
        """Return G(z) at the final z."""
        return self._find(prepared, images, keys).closest

    def path(self, prepared: Prepared, images: Tensor, keys: Tensor) -> Tensor:
        return self._find(prepared, images, keys, with_path=True).path

    def _find(self, prepared: Prepared, images: Tensor, keys: Tensor, with_path: bool = False) -> Found:
        return prepared.search.find((images, prepared.features(images)), keys, with_path=with_path)

    def _combined(self, residual: Tensor, feature: Tensor) -> Tensor:
        return (1 - self.params.weight) * residual + self.params.weight * feature


def _parts(features: Features, made: Tensor, images: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Return L_R and L_D of generated images against the images and their features."""
    return _distance(made, images), _distance(features(made), wanted)


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return (a.float() - b).abs().flatten(1).sum(1)  # (N, ...) -> (N,)
