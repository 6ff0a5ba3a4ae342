"""Figures draw what their tables say."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from heldout.figures import _style, roc, samples, scores

FAMILIES = {"mean_image": "floor", "adgan": "search", "adgan-k1": "search"}


@pytest.fixture
def ax():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def test_roc_draws_every_row_and_names_the_best_method_first(ax):
    fpr = np.linspace(0, 1, 5)
    curves = pd.concat(
        pd.DataFrame({"method": name, "auroc": auroc, "fpr": fpr, "tpr": tpr, "tpr_low": tpr, "tpr_high": tpr})
        for name, auroc, tpr in (("mean_image", 0.5, fpr), ("adgan", 0.9, fpr**0.1), ("adgan-k1", 0.7, fpr**0.5))
    )
    roc.draw(ax, curves, _style.lines(FAMILIES))
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["adgan (0.900)", "adgan-k1 (0.700)", "mean_image (0.500)"]
    best = ax.get_lines()[0]
    np.testing.assert_allclose(best.get_ydata(), [0, *fpr**0.1])
    assert ax.get_xlabel() == "false positive rate" and ax.get_ylabel() == "true positive rate"


def test_histograms_are_densities_of_the_counts(ax):
    histogram = pd.DataFrame({"low": [0.0, 1.0], "high": [1.0, 2.0], "normal": [3, 1], "anomalous": [0, 8]})
    scores.draw(ax, histogram)
    normal, anomalous = (patch.get_data() for patch in ax.patches)
    np.testing.assert_allclose(normal.values, [0.75, 0.25])
    np.testing.assert_allclose(anomalous.values, [0, 1])
    np.testing.assert_allclose(normal.edges, [0, 1, 2])


@pytest.mark.parametrize("channels", [1, 3])
def test_samples_stand_right_of_the_training_images(ax, channels):
    real, made = torch.full((2, channels, 4, 4), -1.0), torch.zeros(3, channels, 4, 4)
    samples.draw(ax, real, made)
    pixels = ax.images[0].get_array()
    assert pixels.shape == (4, 24, 3)
    assert (pixels[:, :8] == 0).all() and (pixels[:, 8:12] == 1).all() and (pixels[:, 12:] == 0.5).all()
