"""Joined scores against numpy, scipy and scikit-learn, called directly; and the labels they may and may not see."""

import numpy as np
import pytest
import scipy.stats
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC, OneClassSVM

from heldout import registry
from heldout.numerics.scoring_steps import combined

RNG = np.random.default_rng(0)
NORMAL = RNG.normal([1, 100], [0.1, 30], (60, 2))
ANOMALOUS = RNG.normal([1.5, 150], [0.1, 30], (20, 2))
ROWS = RNG.normal([1.2, 120], [0.3, 40], (15, 2))


def joined(by: str, **params: object) -> np.ndarray:
    rule = registry.create("combination", by, params)
    anomalous = torch.from_numpy(ANOMALOUS) if registry.load("combination", by).facts["supervision"] else None
    return combined(rule, rule.fit(torch.from_numpy(NORMAL), anomalous, 0), torch.from_numpy(ROWS)).numpy()


def test_fixed_weights_are_a_weighted_sum():
    assert joined("fixed", weights=[0.9, 0.1]) == pytest.approx(0.9 * ROWS[:, 0] + 0.1 * ROWS[:, 1])
    assert joined("fixed") == pytest.approx(ROWS.sum(1))


def test_z_scores_are_those_of_the_normal_images():
    z = (ROWS - NORMAL.mean(0)) / NORMAL.std(0, ddof=1)
    assert joined("zscore") == pytest.approx(z.mean(1))
    assert joined("zscore", pool="max") == pytest.approx(z.max(1))


def test_the_empirical_distribution_is_scipys():
    shares = [scipy.stats.ecdf(NORMAL[:, i]).cdf.evaluate(ROWS[:, i]) for i in range(2)]
    assert joined("ecdf") == pytest.approx(np.mean(shares, axis=0))
    assert joined("ecdf", pool="max") == pytest.approx(np.max(shares, axis=0))
    on_a_value = registry.create("combination", "ecdf", {})
    fitted = on_a_value.fit(torch.tensor([[1.0], [2.0], [2.0], [3.0]]), None, 0)
    assert on_a_value.score(fitted, torch.tensor([[2.0]])).item() == 0.75


def test_a_one_class_svm_sees_the_normal_images_alone():
    mean, deviation = NORMAL.mean(0), NORMAL.std(0)
    svm = OneClassSVM(nu=0.2).fit((NORMAL - mean) / deviation)
    assert joined("ocsvm", nu=0.2) == pytest.approx(-svm.decision_function((ROWS - mean) / deviation))


@pytest.mark.parametrize(("by", "learner"), [("svm", SVC), ("logistic", LogisticRegression)])
def test_a_classifier_sees_labelled_anomalies(by, learner):
    known = np.concatenate([NORMAL, ANOMALOUS])
    mean, deviation = known.mean(0), known.std(0)
    is_anomalous = np.arange(80) >= 60
    classifier = learner(class_weight="balanced").fit((known - mean) / deviation, is_anomalous)
    assert joined(by) == pytest.approx(classifier.decision_function((ROWS - mean) / deviation))
