"""Metrics by hand and against scikit-learn; intervals against what they promise."""

import numpy as np
import pytest
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from heldout.evaluation import metrics


def task(count=60, ties=False):
    rng = np.random.default_rng(0)
    is_anomalous = rng.random(count) < 0.7
    is_anomalous[:2] = True, False
    scores = rng.normal(size=count) + is_anomalous
    return is_anomalous, np.round(scores * 2) if ties else scores


def test_values_by_hand():
    is_anomalous = np.array([True, True, False, True, False])
    values = metrics.point_values(is_anomalous, np.array([5.0, 4, 3, 2, 1]))
    # Five of six pairs of an anomalous and a normal image are in order.
    assert values["auroc"] == pytest.approx(5 / 6)
    # Precision 1, 1, 3/4 where recall steps by a third each.
    assert values["average_precision"] == pytest.approx((1 + 1 + 3 / 4) / 3)
    # Trapezoids between recall 0, 1/3, 2/3, 2/3, 1 with precision 1, 1, 1, 2/3, 3/4.
    assert values["auprc_trapezoid"] == pytest.approx(1 / 3 + 1 / 3 + (2 / 3 + 3 / 4) / 2 / 3)
    # All anomalous images are found once one of two normal images is.
    assert values["fpr_at_95_tpr"] == pytest.approx(0.5)


@pytest.mark.parametrize("ties", [False, True])
def test_every_resample_equals_scikit_learn_with_weights(ties):
    is_anomalous, scores = task(ties=ties)
    counts = metrics.resample_counts(is_anomalous, 20, np.random.default_rng(1))
    resampled = metrics.bootstrap(is_anomalous, scores, counts)
    for row, weights in enumerate(counts):
        keep = weights > 0
        y, s, w = is_anomalous[keep], scores[keep], weights[keep]
        fpr, tpr, _ = roc_curve(y, s, sample_weight=w, drop_intermediate=False)
        precision, recall, _ = precision_recall_curve(y, s, sample_weight=w)
        expected = {
            "auroc": roc_auc_score(y, s, sample_weight=w),
            "average_precision": average_precision_score(y, s, sample_weight=w),
            "auprc_trapezoid": auc(recall, precision),
            "fpr_at_95_tpr": fpr[np.argmax(tpr >= 0.95)],
        }
        for name, value in expected.items():
            assert resampled.metrics[name][row] == pytest.approx(value, abs=1e-12), name
        np.testing.assert_allclose(resampled.tpr[row], np.interp(metrics.GRID, fpr, tpr), atol=1e-12)


@pytest.mark.parametrize("ties", [False, True])
def test_point_values_are_those_of_the_resample_that_draws_every_image_once(ties):
    is_anomalous, scores = task(ties=ties)
    once = metrics.bootstrap(is_anomalous, scores, np.ones((1, len(scores)), np.int32))
    assert metrics.point_values(is_anomalous, scores) == pytest.approx({k: v[0] for k, v in once.metrics.items()})


def test_resamples_keep_the_number_of_images_of_each_stratum():
    strata = np.random.default_rng(0).integers(0, 3, 60)
    counts = metrics.resample_counts(strata, 50, np.random.default_rng(1))
    for name in range(3):
        assert (counts[:, strata == name].sum(axis=1) == (strata == name).sum()).all()
    assert counts.min() == 0 and counts.max() > 1


def test_the_spread_of_resampled_auroc_is_its_known_standard_error():
    # Hanley and McNeil 1982 for exponential scores with AUROC theta: an independent formula.
    theta, normal, anomalous = 0.75, 300, 300
    rng = np.random.default_rng(1)
    scores = np.concatenate([rng.exponential(1, normal), rng.exponential(3, anomalous)])  # AUROC 3 / (3 + 1)
    is_anomalous = np.arange(600) >= normal
    counts = metrics.resample_counts(is_anomalous, 2000, np.random.default_rng(2))
    spread = metrics.bootstrap(is_anomalous, scores, counts).metrics["auroc"].std()
    q1, q2 = theta / (2 - theta), 2 * theta**2 / (1 + theta)
    variance = theta * (1 - theta) + (anomalous - 1) * (q1 - theta**2) + (normal - 1) * (q2 - theta**2)
    assert spread == pytest.approx((variance / (normal * anomalous)) ** 0.5, rel=0.15)


def test_a_perfect_and_an_inverted_ranking():
    is_anomalous = np.array([False, False, True, True])
    assert metrics.point_values(is_anomalous, np.array([1.0, 2, 3, 4]))["auroc"] == 1
    assert metrics.point_values(is_anomalous, np.array([4.0, 3, 2, 1]))["auroc"] == 0  # never flipped
    assert metrics.curve(is_anomalous, np.array([1.0, 2, 3, 4]))[0] == 1
