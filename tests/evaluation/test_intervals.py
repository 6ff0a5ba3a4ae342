"""Intervals of AUROC and average precision against literal formulas, and against what they promise."""

import numpy as np
import pytest
from scipy.stats import norm, t
from sklearn.metrics import average_precision_score, roc_auc_score

from heldout.evaluation.intervals import Part, interval

VALUES = {"auroc": roc_auc_score, "average_precision": average_precision_score}
METRICS = pytest.mark.parametrize("metric", VALUES)


def scored(normal=30, anomalous=90, distance=1.0, ties=False, seed=0):
    rng = np.random.default_rng(seed)
    is_anomalous = rng.permutation(np.arange(normal + anomalous) >= normal)
    scores = rng.normal(size=len(is_anomalous)) + distance * is_anomalous
    return is_anomalous, np.round(scores * 2) if ties else scores


def part(metric, is_anomalous, *seeds, first=0):
    return Part.of(metric, np.arange(first, first + len(is_anomalous)), is_anomalous, seeds)


def of_one(metric, is_anomalous, *seeds):
    by_seed = [VALUES[metric](is_anomalous, scores) for scores in seeds]
    return interval(metric, np.mean(by_seed), [part(metric, is_anomalous, *seeds)], by_seed)


@pytest.mark.parametrize("ties", [False, True])
def test_the_squares_of_influence_on_auroc_add_up_to_delongs_variance(ties):
    is_anomalous, scores = scored(ties=ties)
    normal, anomalous = scores[~is_anomalous], scores[is_anomalous]
    # The definition, pair by pair: 1 where the anomalous image has the higher score, one half for a tie.
    won = np.array([[(y > x) + 0.5 * (y == x) for y in anomalous] for x in normal])
    expected = won.mean(axis=1).var(ddof=1) / len(normal) + won.mean(axis=0).var(ddof=1) / len(anomalous)
    found = part("auroc", is_anomalous, scores)
    assert (found.influence**2).sum() == pytest.approx(expected, rel=1e-12)
    assert found.influence.sum() == pytest.approx(0, abs=1e-12) and found.bias == 0
    # An anomalous image of a high score, or a normal one of a low score, raises the AUROC.
    assert np.corrcoef(found.influence[is_anomalous], anomalous)[0, 1] > 0
    assert np.corrcoef(found.influence[~is_anomalous], normal)[0, 1] < 0


@pytest.mark.parametrize("ties", [False, True])
def test_influence_on_average_precision_is_the_jackknifes(ties):
    is_anomalous, scores = scored(ties=ties)
    whole, variance, bias = average_precision_score(is_anomalous, scores), 0.0, 0.0
    found = part("average_precision", is_anomalous, scores)
    for group in (is_anomalous, ~is_anomalous):
        weights = np.where(group, group.sum() / (group.sum() - 1), 1)  # the share of anomalies stays
        left_out = np.array(
            [
                average_precision_score(
                    np.delete(is_anomalous, one), np.delete(scores, one), sample_weight=np.delete(weights, one)
                )
                for one in np.flatnonzero(group)
            ]
        )
        variance += (group.sum() - 1) / group.sum() * ((left_out - left_out.mean()) ** 2).sum()
        bias += (group.sum() - 1) * (left_out.mean() - whole)
        share = ((group.sum() - 1) / group.sum()) ** 0.5 * (left_out.mean() - left_out)
        np.testing.assert_allclose(found.influence[group], share, atol=1e-12)
    assert (found.influence**2).sum() == pytest.approx(variance, rel=1e-9)
    assert found.bias == pytest.approx(bias, abs=1e-12)


def test_an_interval_holds_the_values_within_a_quantile_of_their_own_standard_errors():
    is_anomalous, scores = scored(normal=40, anomalous=40, distance=0.5)
    value = roc_auc_score(is_anomalous, scores)

    def hanley_and_mcneil(a, m=40, n=40):  # for m = n, Newcombe's counts are theirs
        q1, q2 = a / (2 - a), 2 * a**2 / (1 + a)
        return (a * (1 - a) + (m - 1) * (q1 - a**2) + (n - 1) * (q2 - a**2)) / (m * n)

    influence = part("auroc", is_anomalous, scores).influence
    misplaced = 2 * 40 * (1 - value)
    weight = misplaced / (misplaced + 2)
    estimated = weight * (influence**2).sum()
    variance = estimated + (1 - weight) * hanley_and_mcneil(value)
    shares = [(influence[group] ** 2).sum() for group in (is_anomalous, ~is_anomalous)]
    degrees = variance**2 / (estimated**2 * sum(share**2 for share in shares) / 39 / sum(shares) ** 2)
    low, high = of_one("auroc", is_anomalous, scores)
    for end in (low, high):
        error = (variance * hanley_and_mcneil(end) / hanley_and_mcneil(value)) ** 0.5
        assert abs(end - value) == pytest.approx(t.ppf(0.975, degrees) * error, rel=1e-6)
    assert low < value < high


@METRICS
def test_classes_of_the_same_images_are_not_taken_for_independent(metric):
    is_anomalous, scores = scored(normal=300, anomalous=300)
    value = VALUES[metric](is_anomalous, scores)
    alone = part(metric, is_anomalous, scores)
    low, high = interval(metric, value, [alone], [value])
    same = interval(metric, value, [alone, alone], [value])
    other = interval(metric, value, [alone, part(metric, is_anomalous, scores, first=600)], [value])
    assert same[1] - same[0] == pytest.approx(high - low, rel=0.02)
    assert other[1] - other[0] == pytest.approx((high - low) / 2**0.5, rel=0.02)


@METRICS
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("normal", "anomalous"), [(1, 1), (1, 9), (9, 1), (20, 180)])
def test_a_perfect_or_inverted_ranking_has_an_interval_that_ends_at_it(metric, sign, normal, anomalous):
    is_anomalous = np.arange(normal + anomalous) >= normal
    scores = sign * np.arange(normal + anomalous, dtype=float)
    low, high = of_one(metric, is_anomalous, scores)
    value = VALUES[metric](is_anomalous, scores)
    assert 0 <= low <= value <= high <= 1 and high - low > 0.01 / (normal * anomalous)


@METRICS
def test_from_three_seeds_on_an_interval_covers_their_spread(metric):
    is_anomalous, scores = scored()
    rng = np.random.default_rng(1)
    seeds = [scores + rng.normal(0, 1, len(scores)) for _ in range(3)]
    by_seed = [VALUES[metric](is_anomalous, one) for one in seeds]
    parts = [part(metric, is_anomalous, *seeds)]
    of_images = interval(metric, np.mean(by_seed), parts, by_seed[:2])
    of_both = interval(metric, np.mean(by_seed), parts, by_seed)
    assert of_both[0] < of_images[0] and of_images[1] < of_both[1]
    equal = interval(metric, np.mean(by_seed), parts, [np.mean(by_seed)] * 3)
    assert equal == pytest.approx(of_images)


@METRICS
def test_intervals_cover_a_known_value_near_1_with_few_normal_images(metric):
    # The true average precision by a large sample; the true AUROC of normal scores is known.
    distance = norm.ppf(0.95) * 2**0.5
    truth = {"auroc": 0.95, "average_precision": average_precision_score(*scored(100_000, 900_000, distance, seed=9))}
    covered = 0
    for seed in range(400):
        low, high = of_one(metric, *scored(20, 180, distance, seed=seed))
        covered += low <= truth[metric] <= high
    # The binomial standard error of 400 trials at 95 % is 1.1 %.
    assert 0.95 - 3 * 0.011 < covered / 400 <= 0.99
