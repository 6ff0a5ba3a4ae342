"""Weighted sum of the components with given weights.

    score = sum_i weight_i r_i

Source: the form of AnoGAN's score (Schlegl et al., IPMI 2017); the review criticises its weight.
Deviations: none.
"""

import torch
from pydantic import Field
from torch import Tensor

from heldout import registry
from heldout.combinations import Combination, CombinationParams


class Params(CombinationParams):
    weights: list[float] | None = Field(None, description="one weight per component in `of`; none: all 1")


@registry.combination(
    "fixed", paper="Schlegl et al., IPMI 2017", is_fitted=False, per_component=("weights",), small={"block": 4}
)
class Fixed(Combination):
    def __init__(self, params: Params) -> None:
        self.params = params

    def fit(self, normal: Tensor, anomalous: Tensor | None, seed: int) -> Tensor:
        return torch.tensor(self.params.weights or [1.0] * normal.shape[1], dtype=torch.float64)

    def score(self, weights: Tensor, components: Tensor) -> Tensor:
        return (components * weights).sum(dim=1)
