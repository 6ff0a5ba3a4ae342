"""One-class SVM on the standardised components.

    score = -decision function of a one-class SVM on (r_1, ..., r_k)

Source: the review (SIGKDD Explorations 2024), obstacle 2, names SVMs as a remedy; scikit-learn's OneClassSVM.
Deviations: none.
"""

import torch
from pydantic import Field
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import OneClassSVM
from torch import Tensor

from heldout import registry
from heldout.combinations import Combination, CombinationParams


class Params(CombinationParams):
    nu: float = Field(0.1, gt=0, le=1, description="upper bound of the fraction of calibration images outside")


@registry.combination("ocsvm", paper="SIGKDD Explorations 2024", small={"block": 4})
class OCSVM(Combination):
    def __init__(self, params: Params) -> None:
        self.params = params

    def fit(self, normal: Tensor, anomalous: Tensor | None, seed: int) -> Pipeline:
        return make_pipeline(StandardScaler(), OneClassSVM(nu=self.params.nu)).fit(normal.numpy())

    def score(self, machine: Pipeline, components: Tensor) -> Tensor:
        return torch.from_numpy(-machine.decision_function(components.numpy()))  # positive = normal
