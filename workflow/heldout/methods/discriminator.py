"""How little the GAN's discriminator takes an image for a real one.

    score = -D(x)

Source: Deecke et al., ECML-PKDD 2018, section 3.2, where it is the alternative that fails: a trained discriminator
tells real from made, not normal from anomalous; section 4.3 reports mean AUROC 0.625 on MNIST, 0.513 on CIFAR-10.
Deviations: none. D's output before any sigmoid, which would not change the order of the images.
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
