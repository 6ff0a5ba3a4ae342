"""Several methods' scores joined to one, by a rule fitted to images that are known to be normal.

    fixed     score = sum_i weight_i r_i
    zscore    score = mean or max over i of (r_i - mean_i) / deviation_i
    ecdf      score = mean or max over i of the share of calibration images whose r_i is at most this one's
    ocsvm     minus the decision of a one-class SVM on (r_1, ..., r_k), standardised
    svm       the decision of an SVM between calibration images and labelled anomalies, standardised
    logistic  the same by logistic regression

mean_i and deviation_i are those of the calibration images: normal, and held out of training. `of` names the methods, or
one of their components: `of: [anogan:residual, anogan:feature, prior]`.

Source: SIGKDD Explorations 2024 (the review, Anomaly Detection using GANs), obstacle 2, improved scores: it names the
grid-searched weight of AnoGAN as the weakness, and SVMs and latent differences as remedies.
Deviations: svm and logistic learn from labels of anomalies, taken from outside the test part; every table calls them
semi-supervised.
"""

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from heldout import registry
from heldout.errors import NumericalFailure
from heldout.methods import MethodParams
from heldout.numerics.blocks import in_blocks


class Params(MethodParams):
    by: Literal["fixed", "zscore", "ecdf", "ocsvm", "svm", "logistic"] = Field("zscore", description="how to join")
    weights: list[float] | None = Field(None, description="for `fixed`, one for each of `of`; none: all 1")
    pool: Literal["mean", "max"] = Field("mean", description="over the components, for zscore and ecdf")
    nu: float = Field(0.1, gt=0, le=1, description="for ocsvm: at most this share of calibration images lies outside")


@registry.method(
    "combine",
    paper="SIGKDD Explorations 2024",
    reads=("scores",),
    cost="nothing beside the methods that it joins",
    cost_class="join",
    family="combination",
    when={"by=svm": {"supervision": "semi-supervised"}, "by=logistic": {"supervision": "semi-supervised"}},
    small={"block": 4},
)
class Combine:
    def __init__(self, params: Params) -> None:
        self.params = params

    def fit(self, normal: Tensor, anomalous: Tensor | None, seed: int) -> Any:
        """Return what the rule learns.

        Args:
            normal: `(n, k)` float64, the k components of the calibration images.
            anomalous: `(m, k)`, those of the labelled anomalies; None unless the rule is told labels.
            seed: the run's; every rule here is deterministic.

        Raises:
            NumericalFailure: a component does not vary among the calibration images.
        """
        params = self.params
        if params.by == "fixed":
            return torch.tensor(params.weights or [1.0] * normal.shape[1], dtype=torch.float64)
        if not (normal.std(dim=0) > 0).all():
            raise NumericalFailure("a component is the same for all calibration images")
        if params.by == "zscore":
            return normal.mean(dim=0), normal.std(dim=0)
        if params.by == "ecdf":
            return normal.sort(dim=0).values
        from sklearn.linear_model import LogisticRegression  # a second, so only where it is used
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler
        from sklearn.svm import SVC, OneClassSVM

        if params.by == "ocsvm":
            return make_pipeline(StandardScaler(), OneClassSVM(nu=params.nu)).fit(normal.numpy())
        balanced = {"class_weight": "balanced"}  # few labelled anomalies should count as much as many normal images
        learner = SVC(**balanced) if params.by == "svm" else LogisticRegression(**balanced)
        is_anomalous = [False] * len(normal) + [True] * len(anomalous)
        return make_pipeline(StandardScaler(), learner).fit(torch.cat([normal, anomalous]).numpy(), is_anomalous)

    def score(self, fitted: Any, components: Tensor) -> Tensor:
        """Return `(N,)` float64, higher is more anomalous.

        Args:
            fitted: what `fit` returned.
            components: `(N, k)` float64.
        """
        (score,) = in_blocks(lambda rows: self._joined(fitted, rows), components, size=self.params.block)
        return score

    def _joined(self, fitted: Any, rows: Tensor) -> Tensor:
        by = self.params.by
        if by == "fixed":
            return (rows * fitted).sum(dim=1)
        if by == "zscore":
            mean, deviation = fitted
            return self._pooled((rows - mean) / deviation)
        if by == "ecdf":
            at_most = torch.searchsorted(fitted.T.contiguous(), rows.T.contiguous(), right=True).T
            return self._pooled(at_most.double() / len(fitted))
        sign = -1 if by == "ocsvm" else 1  # a one-class SVM decides for normal, the others for anomalous
        return torch.from_numpy(sign * fitted.decision_function(rows.numpy()))

    def _pooled(self, standardised: Tensor) -> Tensor:
        return standardised.mean(dim=1) if self.params.pool == "mean" else standardised.amax(dim=1)
