"""How little the GAN's discriminator takes an image for a real one.

    score = -D(x)

Source: Deecke et al., ECML-PKDD 2018, section 3.2, where it is the alternative that fails: a trained discriminator
tells real from made, not normal from anomalous; section 4.3 reports mean AUROC 0.625 on MNIST, 0.513 on CIFAR-10.
Deviations: none. D's output before any sigmoid, which would not change the order of the images.
"""

from torch import Tensor, nn

from heldout import registry
from heldout.numerics.blocks import in_blocks


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
class Discriminator:
    def __init__(self, params: registry.MethodParams) -> None:
        self.params = params

    def score(self, model: nn.Module, images: Tensor, keys: Tensor) -> dict[str, Tensor]:
        """Score images; higher is more anomalous.

        Args:
            model: has a `discriminator`, in eval mode: images -> `(N,)`, higher = more like the training images.
            images: `(N, C, H, W)` float32 in [-1, 1].
            keys: unused: nothing is drawn.
        """
        (realness,) = in_blocks(model.discriminator, images, size=self.params.block)
        return {"score": -realness}
