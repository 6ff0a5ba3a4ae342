"""Logistic regression of labelled anomalies against calibration images, on the standardised components.

    score = decision function of a logistic regression on (r_1, ..., r_k)

Source: the review (SIGKDD Explorations 2024), obstacle 2, names SVMs as a remedy; scikit-learn's LogisticRegression.
Deviations: it uses labelled anomalies from outside the test part; every table calls it semi-supervised.
"""

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from torch import Tensor

from heldout import registry
from heldout.combinations import Combination, CombinationParams
from heldout.combinations._classifying import BALANCED, SUPERVISION, decision, fitted


@registry.combination("logistic", paper="SIGKDD Explorations 2024", supervision=SUPERVISION, small={"block": 4})
class Logistic(Combination):
    def __init__(self, params: CombinationParams) -> None:
        self.params = params

    def fit(self, normal: Tensor, anomalous: Tensor | None, seed: int) -> Pipeline:
        return fitted(LogisticRegression(class_weight=BALANCED), normal, anomalous)

    def score(self, classifier: Pipeline, components: Tensor) -> Tensor:
        return decision(classifier, components)
