"""Rules that combine the scores of several methods, one file each. `Combination` is the contract; copy `_template.py`.

In an experiment `by` names the rule: `{method: combine, by: zscore, of: [adgan, "anogan:residual"]}`. The columns that
`of` names are its components.

    fitted = rule.fit(normal, anomalous, seed)      # once
    rule.score(fitted, components)                  # for every block of images

Source: SIGKDD Explorations 2024 (the review, Anomaly Detection using GANs), obstacle 2, improved scores: it names the
grid-searched weight of AnoGAN as the weakness, and SVMs and latent differences as remedies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from pydantic import Field

from heldout.registry import Params

if TYPE_CHECKING:  # parameters are described without PyTorch
    from torch import Tensor


class CombinationParams(Params):
    """The parameters that every rule has."""

    block: int = Field(64, ge=1, description="images combined at a time; part of the score's identity")


class Combination(Protocol):
    """A rule. It keeps nothing but its parameters, so every call with the same arguments gives the same bits."""

    params: CombinationParams

    def fit(self, normal: Tensor, anomalous: Tensor | None, seed: int) -> Any:
        """Learn from images that are not tested.

        Args:
            normal: `(n, k)` float64, the k components of the calibration images, which are normal and held out of
                training. Every component varies among them, unless the rule is registered with `is_fitted=False`.
            anomalous: `(m, k)` float64, those of the labelled anomalies, which are outside the test part; None unless
                the rule is registered with `supervision`.
            seed: the run's, for everything that is drawn.

        Returns:
            What `score` needs.
        """
        ...

    def score(self, fitted: Any, components: Tensor) -> Tensor:
        """Return the combined scores `(N,)` float64 of one block of images; a higher score is more anomalous.

        Args:
            fitted: what `fit` returned; comes back unchanged.
            components: `(N, k)` float64. N is `params.block`: the last block is filled up with copies of its last row.
        """
        ...
