"""A rule to copy: the distance from the calibration images' median. One line that says what the score is.

    score = sum_i |r_i - median_i|^power

Source: authors, venue and year; the section or equation.
Deviations: everything that differs from the source, and why. Here: this rule is not from a paper.
"""

from pydantic import Field
from torch import Tensor

from heldout import registry
from heldout.combinations import Combination, CombinationParams


class Params(CombinationParams):
    """Parameters besides `block`; the defaults are the source's values."""

    power: float = Field(1.0, gt=0, description="exponent of the distances (where the value is from)")


@registry.combination(
    "my_combination",  # the name of this file without `.py`; an experiment selects it with `by: my_combination`
    paper="ours",  # authors, venue and year, for the documentation and the terminal
    small={"block": 4},  # parameters for the conformance tests
    # supervision="semi-supervised" if `fit` uses labelled anomalies; is_fitted=False if it uses no images
)
class MyCombination(Combination):
    def __init__(self, params: Params) -> None:
        self.params = params

    def fit(self, normal: Tensor, anomalous: Tensor | None, seed: int) -> Tensor:
        """Return the median of each component, `(k,)`."""
        return normal.median(dim=0).values

    def score(self, median: Tensor, components: Tensor) -> Tensor:
        return (components - median).abs().pow(self.params.power).sum(dim=1)  # (N, k) -> (N,); higher = more anomalous
