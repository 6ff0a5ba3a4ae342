"""Squared distance of an image's embedding to the centre of the training images.

    score = ||phi(x) - c||^2

Source: Ruff, Vandermeulen, Goernitz, Deecke et al., ICML 2018, eq. 5, for the one-class objective.
Deviations: none; the model documents those of phi and c.
"""

from torch import Tensor, nn

from heldout import registry
from heldout.methods import Method, MethodParams


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
class DeepSVDD(Method):
    def __init__(self, params: MethodParams) -> None:
        self.params = params

    def score(self, model: nn.Module, images: Tensor, keys: Tensor) -> dict[str, Tensor]:
        return {"score": (model.embedding(images) - model.centre).square().sum(dim=1)}  # (N, dimensions) -> (N,)
