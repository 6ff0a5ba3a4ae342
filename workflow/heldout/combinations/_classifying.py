"""Shared by the rules that classify labelled anomalies against calibration images."""

import torch
from sklearn.base import ClassifierMixin
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

BALANCED = "balanced"  # class weights: few labelled anomalies count as much as many normal images
SUPERVISION = "semi-supervised"


def fitted(classifier: ClassifierMixin, normal: Tensor, anomalous: Tensor | None) -> Pipeline:
    """Return a standardisation and the classifier, fitted to both kinds of images."""
    assert anomalous is not None, "registered with supervision, but given no labelled anomalies"
    is_anomalous = [False] * len(normal) + [True] * len(anomalous)
    return make_pipeline(StandardScaler(), classifier).fit(torch.cat([normal, anomalous]).numpy(), is_anomalous)


def decision(fitted: Pipeline, components: Tensor) -> Tensor:
    return torch.from_numpy(fitted.decision_function(components.numpy()))
