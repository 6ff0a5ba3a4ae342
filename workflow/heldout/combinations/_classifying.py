"""What the rules share that learn to tell labelled anomalies from calibration images."""

import torch
from sklearn.base import ClassifierMixin
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

BALANCED = "balanced"  # the weight of a class: few labelled anomalies should count as much as many normal images
SUPERVISION = "semi-supervised"


def fitted(classifier: ClassifierMixin, normal: Tensor, anomalous: Tensor | None) -> Pipeline:
    """Return the classifier behind a standardisation, fitted to both kinds of images."""
    assert anomalous is not None, "registered with supervision, and given no labelled anomalies"
    is_anomalous = [False] * len(normal) + [True] * len(anomalous)
    return make_pipeline(StandardScaler(), classifier).fit(torch.cat([normal, anomalous]).numpy(), is_anomalous)


def decision(fitted: Pipeline, components: Tensor) -> Tensor:
    return torch.from_numpy(fitted.decision_function(components.numpy()))
