"""Negative output of the GAN's discriminator.

    score = -D(x)

Source: Deecke et al., ECML-PKDD 2018, section 3.2, where it is the alternative that fails: a discriminator is trained
to separate real from generated images, not normal from anomalous ones. Section 4.3 reports a mean AUROC of 0.625 on
MNIST and 0.513 on CIFAR-10.
Deviations: none. D is the output before the sigmoid, which would not change the ranking.
"""

from torch import Tensor, nn

from heldout import registry
from heldout.methods import Method, MethodParams


@registry.method(
    "discriminator",
    paper="Deecke et al., ECML-PKDD 2018",
    reads=("discriminator",),
    cost="one forward",
    cost_class="forward",
    family="output",
    default_model="wgan",
    small={"block": 4},
)
class Discriminator(Method):
    def __init__(self, params: MethodParams) -> None:
        self.params = params

    def score(self, model: nn.Module, images: Tensor, keys: Tensor) -> dict[str, Tensor]:
        return {"score": -model.discriminator(images)}
