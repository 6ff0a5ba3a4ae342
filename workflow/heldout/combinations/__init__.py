"""Rules that combine the scores of several methods, one file each. `Combination` is the contract; copy `_template.py`.

An experiment names the rule in `by` and its components in `of`:
`{method: combine, by: zscore, of: [adgan, "anogan:residual"]}`.

    fitted = rule.fit(normal, anomalous, seed)      # once
    rule.score(fitted, components)                  # for every block of images

Source: SIGKDD Explorations 2024 (the review, Anomaly Detection using GANs), obstacle 2, improved scores. It names
AnoGAN's grid-searched weight as the weakness, and SVMs and latent differences as remedies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from pydantic import Field

from heldout.registry import Params

if TYPE_CHECKING:  # parameters are described without PyTorch
    from torch import Tensor


class CombinationParams(Params):
    """Parameters of every rule."""

    block: int = Field(64, ge=1, description="images combined at a time; part of the score's identity")


class Combination(Protocol):
    """A rule. It has no state but its parameters: the same arguments give the same bits."""

    params: CombinationParams

    def fit(self, normal: Tensor, anomalous: Tensor | None, seed: int) -> Any:
        """Fit to images outside the test part.

        Args:
            normal: `(n, k)` float64, the k components of the calibration images (normal, held out of training). No
                component is constant, unless the rule is registered with `is_fitted=False`.
            anomalous: `(m, k)` float64, the components of the labelled anomalies; None unless the rule is registered
                with `supervision`.
            seed: the run's seed, for all random draws.

        Returns:
            The first argument of `score`.
        """
        ...

    def score(self, fitted: Any, components: Tensor) -> Tensor:
        """Return the combined scores `(N,)` float64 of one block of images; a higher score is more anomalous.

        Args:
            fitted: the return value of `fit`; not modified.
            components: `(N, k)` float64. N is `params.block`: copies of the last row fill the last block.
        """
        ...
