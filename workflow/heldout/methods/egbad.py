"""EGBAD: reconstruction error of a BiGAN, in pixels and by its discriminator.

    score = (1 - weight) L_G + weight L_D,  L_G = sum |x - G(E(x))|
    L_D = sum |f(x, E(x)) - f(G(E(x)), E(x))|   or   -log D(pair)

f is the last hidden layer of the joint discriminator. The components `residual` and `discrimination` are L_G and L_D.

Source: Zenati, Foo, Lecouat, Manek, Chandrasekhar, arXiv 2018, and its code
(houssamzenati/Efficient-GAN-Anomaly-Detection, bigan/run_mnist.py). Weight 0.1 on L_D is the paper's alpha 0.9 on L_G.
Both forms of L_D are from the paper; the better one differs by data set. The code's README reproduces the paper with
feature matching. The code takes the cross-entropy of the reconstructed pair, the paper (from memory) that of the image
and its code: `pair`.
Deviations: none known. The sums grow with the image (784 pixels and 1024 features in the paper; 1024 and 1024 at 32
pixels and width 64), so the effect of `weight` depends on the size; with `reduction: mean` it does not.
"""

from typing import Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import softplus

from heldout import registry
from heldout.methods import Method, MethodParams


class Params(MethodParams):
    weight: float = Field(0.1, ge=0, le=1, description="weight of L_D (w in the code, 1 - alpha in the paper)")
    discrimination: Literal["feature_matching", "cross_entropy"] = Field(
        "feature_matching", description="L_D: distance of D's features, or cross-entropy of its output"
    )
    pair: Literal["reconstruction", "image"] = Field(
        "reconstruction", description="cross-entropy of D(G(E(x)), E(x)), as in the code, or of D(x, E(x))"
    )
    reduction: Literal["sum", "mean"] = Field("sum", description="over pixels and features; the code uses the sum")


@registry.method(
    "egbad",
    paper="Zenati et al., arXiv 2018",
    reads=("encoder", "generator", "joint_discriminator"),
    cost="one forward of encoder and generator, two of the discriminator",
    cost_class="forward",
    family="encoder",
    default_model="bigan",
    components=("residual", "discrimination"),
    offers=("rebuild",),
    small={"block": 4},
)
class EGBAD(Method):
    def __init__(self, params: Params) -> None:
        self.params = params

    def score(self, model: nn.Module, images: Tensor, keys: Tensor) -> dict[str, Tensor]:
        """Return the weighted sum, L_G and L_D."""
        params, judge = self.params, model.joint_discriminator
        z = model.encoder(images)
        made = model.generator(z)
        residual = self._distance(images, made)
        if params.discrimination == "feature_matching":
            discrimination = self._distance(judge.features(images, z), judge.features(made, z))
        else:  # -log sigmoid
            discrimination = softplus(-judge(made if params.pair == "reconstruction" else images, z))
        score = (1 - params.weight) * residual + params.weight * discrimination
        return {"score": score, "residual": residual, "discrimination": discrimination}

    def rebuild(self, model: nn.Module, images: Tensor, keys: Tensor) -> Tensor:
        """Return G(E(x))."""
        return model.generator(model.encoder(images))

    def _distance(self, a: Tensor, b: Tensor) -> Tensor:
        difference = (a - b).abs().flatten(1)  # (N, ...) -> (N, elements)
        return difference.sum(1) if self.params.reduction == "sum" else difference.mean(1)
