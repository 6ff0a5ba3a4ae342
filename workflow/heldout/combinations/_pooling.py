"""Shared by the rules that standardise each component separately."""

from typing import Literal

from pydantic import Field
from torch import Tensor

from heldout.combinations import CombinationParams


class PooledParams(CombinationParams):
    pool: Literal["mean", "max"] = Field("mean", description="mean or maximum over the components")


def pooled(standardised: Tensor, params: PooledParams) -> Tensor:
    """Return the mean or maximum of each image's components, `(N, k)` -> `(N,)`."""
    return standardised.mean(dim=1) if params.pool == "mean" else standardised.amax(dim=1)
