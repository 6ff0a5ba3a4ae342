"""AnoGAN: the best reconstruction that a long search over z finds, by pixels and by the discriminator's eyes.

    L(z) = (1 - weight) L_R + weight L_D,  L_R = sum |x - G(z)|,  L_D = sum |f(x) - f(G(z))|

`steps` Adam steps on z lower L; f is the discriminator's last feature map. The score is L at the final z; `residual`
and `feature` keep its two parts.

Source: Schlegl, Seebock, Waldstein, Schmidt-Erfurth, Langs, IPMI 2017; its equations as the survey restates them
(eqs. 4 to 7). Weight 0.1 and 500 steps agree with the public codes; the paper's step size is not known to us, so
`z_lr` is that of Efficient-GAN-Anomaly-Detection (gan/), 0.01, without its decay at steps 200 and 300.
Deviations: none known. One start per image; z, Adam's state and batch normalisation (eval mode) are fresh for each.
"""

from collections.abc import Callable

from pydantic import Field
from torch import Tensor, nn

from heldout import registry
from heldout.numerics.blocks import in_blocks
from heldout.search.fixing import fixed
from heldout.search.latent import Found, LatentParams, Settings, latent_search

Features = Callable[[Tensor], Tensor]  # images -> f's map


class Params(LatentParams):
    steps: int = Field(500, ge=0, description="Adam steps on z (Gamma)")
    weight: float = Field(0.1, ge=0, le=1, description="share of the feature loss (lambda)")
    z_lr: float = Field(0.01, gt=0, description="Adam's step size on z")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's decay of the mean gradient")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the squared gradient")


@registry.method(
    "anogan",
    paper="Schlegl et al., IPMI 2017",
    reads=("generator", "discriminator"),
    cost="steps forwards and backwards of generator and discriminator",
    cost_class="search",
    family="search",
    default_model="dcgan",
    components=("residual", "feature"),
    offers=("rebuild", "find"),
    small={"steps": 2, "block": 4},
    passes="1 + steps",
    shortened="steps",
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
        features = fixed(model.discriminator).features
        wanted = self._wanted(features, images)
        made = self._search(model, features, images, wanted, keys).made.squeeze(1)
        residual, feature = in_blocks(_parts(features), made, images, wanted, size=self.params.block)
        return {"score": self._combined(residual, feature), "residual": residual, "feature": feature}

    def find(self, model: nn.Module, images: Tensor, keys: Tensor, with_path: bool = False) -> Found:
        """Return where the search for each image ends, and on request how it went; arguments as `score`'s."""
        features = fixed(model.discriminator).features
        return self._search(model, features, images, self._wanted(features, images), keys, with_path)

    def rebuild(self, model: nn.Module, images: Tensor, keys: Tensor) -> Tensor:
        """Return the reconstruction G(z) of each image, `(N, C, H, W)`."""
        return self.find(model, images, keys).closest

    def _search(
        self,
        model: nn.Module,
        features: Features,
        images: Tensor,
        wanted: Tensor,
        keys: Tensor,
        with_path: bool = False,
    ) -> Found:
        parts = _parts(features)
        given = self.params.model_dump(include=set(Settings.__dataclass_fields__))
        settings = Settings(starts=1, theta_lr=0.0, **given)

        def loss(*rows: Tensor) -> Tensor:
            return self._combined(*parts(*rows))

        return latent_search(model.generator, (images, wanted), keys, loss, settings, with_path=with_path)

    def _wanted(self, features: Features, images: Tensor) -> Tensor:
        return in_blocks(features, images, size=self.params.block)[0]

    def _combined(self, residual: Tensor, feature: Tensor) -> Tensor:
        return (1 - self.params.weight) * residual + self.params.weight * feature


def _parts(features: Features) -> Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return the function that gives L_R and L_D of made images, the images, and the features wanted of them."""
    return lambda made, images, wanted: (_distance(made, images), _distance(features(made), wanted))


def _distance(a: Tensor, b: Tensor) -> Tensor:
    return (a.float() - b).abs().flatten(1).sum(1)  # (N, ...) -> (N,)
