"""How far from the centre of the training images the embedding of an image lies.

    score = ||phi(x) - c||^2

Source: Ruff, Vandermeulen, Goernitz, Deecke et al., ICML 2018, eq. 5, for the one-class objective.
Deviations: none; those of phi and c are the model's.
"""

from torch import Tensor, nn

from heldout import registry
from heldout.numerics.blocks import in_blocks


@registry.method(
    "deep_svdd",
    paper="Ruff et al., ICML 2018",
    reads=("embedding", "centre"),
    cost="one forward",
    cost_class="forward",
    family="output",
    default_model="deep_svdd",
    small={"block": 4},
)
class DeepSVDD:
    def __init__(self, params: registry.MethodParams) -> None:
        self.params = params

    def score(self, model: nn.Module, images: Tensor, keys: Tensor) -> dict[str, Tensor]:
        """Score images; higher is more anomalous.

        Args:
            model: has an `embedding`, in eval mode, and a `centre`.
            images: `(N, C, H, W)` float32 in [-1, 1].
            keys: unused: nothing is drawn.
        """

        def distance(images: Tensor) -> Tensor:
            return (model.embedding(images) - model.centre).square().sum(dim=1)  # (N, dimensions) -> (N,)

        (score,) = in_blocks(distance, images, size=self.params.block)
        return {"score": score}
