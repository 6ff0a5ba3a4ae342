"""Z-score of each component relative to the calibration images, averaged or the maximum.

    score = mean or max over i of (r_i - mean_i) / deviation_i

Source: the review (SIGKDD Explorations 2024), obstacle 2, asks for scores that need no grid-searched weight; this rule
is ours.
Deviations: none.
"""

from torch import Tensor

from heldout import registry
from heldout.combinations import Combination
from heldout.combinations._pooling import PooledParams, pooled


@registry.combination("zscore", paper="ours", small={"block": 4})
class ZScore(Combination):
    def __init__(self, params: PooledParams) -> None:
        self.params = params

    def fit(self, normal: Tensor, anomalous: Tensor | None, seed: int) -> tuple[Tensor, Tensor]:
        return normal.mean(dim=0), normal.std(dim=0)

    def score(self, fitted: tuple[Tensor, Tensor], components: Tensor) -> Tensor:
        mean, deviation = fitted
        return pooled((components - mean) / deviation, self.params)
