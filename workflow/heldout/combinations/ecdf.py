"""Empirical distribution function of each component among the calibration images, averaged or the maximum.

    score = mean or max over i of #{calibration images with r_i at most this one's} / n

Source: the review (SIGKDD Explorations 2024), obstacle 2, asks for scores that need no grid-searched weight; this rule
is ours.
Deviations: none.
"""

import torch
from torch import Tensor

from heldout import registry
from heldout.combinations import Combination
from heldout.combinations._pooling import PooledParams, pooled


@registry.combination("ecdf", paper="ours", small={"block": 4})
class ECDF(Combination):
    def __init__(self, params: PooledParams) -> None:
        self.params = params

    def fit(self, normal: Tensor, anomalous: Tensor | None, seed: int) -> Tensor:
        """Return each component's values in ascending order, `(n, k)`."""
        return normal.sort(dim=0).values

    def score(self, ordered: Tensor, components: Tensor) -> Tensor:
        at_most = torch.searchsorted(ordered.T.contiguous(), components.T.contiguous(), right=True).T
        return pooled(at_most.double() / len(ordered), self.params)
