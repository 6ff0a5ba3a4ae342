"""Intervals at 95 % for AUROC and average precision, of one class or of the mean over classes.

A bootstrap's percentiles cover too seldom where few images are normal or the AUROC is near 1. These intervals keep
their promise there (`python -m tests.benchmarks coverage`). They are built in three steps:

1. The influence of each test image on the estimate. For AUROC they are DeLong's placements, for average precision
   jackknife values. The sum of their squares is the variance. The mean over classes adds an image's influences on all
   classes first, so that classes scored on the same images are not taken for independent.
2. The form of the variance as a function of the true AUROC `a`, by Hanley and McNeil with Newcombe's symmetric counts.
   The estimated variance scales it. Where few images are misplaced, the estimate says little, and the form itself
   counts like `PRIOR` misplaced images.
3. The interval holds every `a` that lies within `q` standard errors of the estimate, with the standard error at `a`.
   So it ends inside [0, 1] and never has zero width.

Average precision is too high where anomalies are few: the jackknife's estimate of this bias is subtracted. It goes
through steps 2 and 3 as the AUROC of normally distributed scores with that average precision.

Sources: DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988) 837; Hanley and McNeil, Radiology 143 (1982) 29;
Newcombe, Statistics in Medicine 25 (2006) 559, method 5; Satterthwaite, Biometrics Bulletin 2 (1946) 110. The scaling
and its prior are this project's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Self

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm, rankdata, t

LEVEL = 0.95
FEWEST = 20  # intervals of fewer normal or anomalous images are unreliable
SEEDS = 3  # from so many trainings on, an interval covers their spread too
PRIOR = {"auroc": 2, "average_precision": 4}  # by the benchmark
_EDGE = 1e-9


@dataclass(frozen=True)
class Part:
    """The influence of the test images on the metric of one class.

    Attributes:
        positions: `(N,)` places of the images among all test images of the dataset.
        is_anomalous: `(N,)` bool.
        influence: `(N,)`, a mean over seeds.
        bias: of the metric, a mean over seeds.
    """

    positions: np.ndarray
    is_anomalous: np.ndarray
    influence: np.ndarray
    bias: float

    @classmethod
    def of(cls, metric: str, positions: np.ndarray, is_anomalous: np.ndarray, seeds: Sequence[np.ndarray]) -> Self:
        """Return the influence on `auroc` or `average_precision` from the `(N,)` scores of each seed."""
        of_seed = {"auroc": _of_auroc, "average_precision": _of_average_precision}[metric]
        influences, biases = zip(*(of_seed(is_anomalous, scores) for scores in seeds), strict=True)
        return cls(positions, is_anomalous, np.mean(influences, axis=0), float(np.mean(biases)))

    @property
    def counts(self) -> tuple[int, int]:
        """The numbers of normal and anomalous images."""
        return int((~self.is_anomalous).sum()), int(self.is_anomalous.sum())

    @property
    def degrees(self) -> float:
        """The degrees of freedom of the variance, by Satterthwaite."""
        shares = [(self.influence[members] ** 2).sum() for members in (~self.is_anomalous, self.is_anomalous)]
        below = sum(share**2 / max(count - 1, 1) for share, count in zip(shares, self.counts, strict=True))
        return sum(shares) ** 2 / below if below else min(self.counts)


def interval(metric: str, value: float, parts: Sequence[Part], by_seed: Sequence[float]) -> tuple[float, float]:
    """Return the interval of a metric, averaged over `parts` and seeds.

    Args:
        metric: `auroc` or `average_precision`.
        value: the estimate, in [0, 1].
        parts: one per class.
        by_seed: the metric of each seed, averaged over the classes. From `SEEDS` on, the interval is about test images
            and seeds; below, about test images alone.
    """
    normal, anomalous = np.mean([part.counts for part in parts], axis=0)
    together = np.zeros(1 + max(part.positions.max() for part in parts))
    for part in parts:
        together[part.positions] += part.influence / len(parts)
    unbiased = np.clip(value - np.mean([part.bias for part in parts]), 0, 1)
    estimate, slope = _as_auroc(metric, float(unbiased), normal, anomalous)
    # Half an image out of place: an estimate of 0 or 1 has no variance.
    inside = np.clip(estimate, 0.5 / (normal * anomalous), 1 - 0.5 / (normal * anomalous))
    form = _variance(inside, normal, anomalous) / len(parts)
    misplaced = 2 * min(normal, anomalous) * min(inside, 1 - inside) * len(parts)
    weight = misplaced / (misplaced + PRIOR[metric])
    of_images = weight * (together**2).sum() / slope**2
    of_seeds = np.var(by_seed, ddof=1) / len(by_seed) / slope**2 if len(by_seed) >= SEEDS else 0.0
    total = of_images + (1 - weight) * form + of_seeds
    below = of_images**2 / sum(part.degrees for part in parts) + of_seeds**2 / max(len(by_seed) - 1, 1)
    quantile = t.ppf((1 + LEVEL) / 2, total**2 / below if below else np.inf)

    def outside(a: float) -> float:
        error = np.sqrt(total / form * _variance(a, normal, anomalous) / len(parts))
        return abs(a - estimate) - quantile * error

    low = brentq(outside, 0, min(estimate, 1 - _EDGE)) if estimate > _EDGE else 0.0
    high = brentq(outside, max(estimate, _EDGE), 1) if estimate < 1 - _EDGE else 1.0
    if metric == "average_precision":
        low, high = np.interp([low, high], *_binormal(normal, anomalous))
    return min(float(low), value), max(float(high), value)


def _of_auroc(is_anomalous: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, float]:
    normal, anomalous = (~is_anomalous).sum(), is_anomalous.sum()
    ranks = rankdata(scores)
    placements = np.empty(len(scores))  # the share of the other group that an image is on the right side of
    placements[is_anomalous] = (ranks[is_anomalous] - rankdata(scores[is_anomalous])) / normal
    placements[~is_anomalous] = 1 - (ranks[~is_anomalous] - rankdata(scores[~is_anomalous])) / anomalous
    return _centred(is_anomalous, placements, lambda count: 1 / np.sqrt(count * max(count - 1, 1))), 0.0


def _of_average_precision(is_anomalous: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, float]:
    """Leave each image out in turn, and let the others of its group count more, so that the share of anomalies stays.

    Images of one score share a threshold, as in scikit-learn.
    """
    counts = (~is_anomalous).sum(), is_anomalous.sum()
    normal_counts, anomalous_counts = (count / max(count - 1, 1) for count in counts)
    thresholds, at = np.unique(-scores, return_inverse=True)
    hits = np.bincount(at, is_anomalous, len(thresholds))
    found, alarms = np.cumsum(hits), np.cumsum(np.bincount(at, ~is_anomalous, len(thresholds)))

    def steps(hits: np.ndarray, found: np.ndarray, alarms: np.ndarray) -> np.ndarray:
        return hits * found / np.maximum(found + alarms, 1e-300)

    def before(values: np.ndarray) -> np.ndarray:
        return np.cumsum(values) - values

    def after(values: np.ndarray) -> np.ndarray:
        return np.cumsum(values[::-1])[::-1] - values

    value = steps(hits, found, alarms).sum() / counts[1]
    fewer = steps(hits, found, normal_counts * (alarms - 1))
    without_normal = before(steps(hits, found, normal_counts * alarms)) + fewer + after(fewer)
    without_anomalous = (
        before(steps(hits, anomalous_counts * found, alarms))
        + steps(hits - 1, anomalous_counts * (found - 1), alarms)
        + after(steps(hits, anomalous_counts * (found - 1), alarms))
    )
    left_out = np.where(is_anomalous, without_anomalous[at] / max(counts[1] - 1, 1), without_normal[at] / counts[1])
    for count, members in zip(counts, (~is_anomalous, is_anomalous), strict=True):
        if count == 1:
            left_out[members] = value  # without it there is no ranking, so its influence is unknown
    bias = sum((members.sum() - 1) * (left_out[members].mean() - value) for members in (is_anomalous, ~is_anomalous))
    return _centred(is_anomalous, -left_out, lambda count: np.sqrt((count - 1) / count)), bias


def _centred(is_anomalous: np.ndarray, values: np.ndarray, scale: Callable[[int], float]) -> np.ndarray:
    """Return the deviations from the mean of each group, times `scale` of the group's size."""
    deviations = np.empty(len(values))
    for members in (is_anomalous, ~is_anomalous):
        deviations[members] = (values[members] - values[members].mean()) * scale(members.sum())
    return deviations


def _variance(a: float, normal: float, anomalous: float) -> float:
    """Return Hanley and McNeil's variance of an AUROC `a`, with Newcombe's counts."""
    count = (normal + anomalous) / 2 - 1
    return a * (1 - a) * (1 + count * ((1 - a) / (2 - a) + a / (1 + a))) / (normal * anomalous)


def _as_auroc(metric: str, value: float, normal: float, anomalous: float) -> tuple[float, float]:
    """Return the AUROC that stands for a value, and the slope of the value over it."""
    if metric == "auroc":
        return value, 1.0
    aurocs, precisions = _binormal(normal, anomalous)
    auroc = np.interp(value, precisions, aurocs)
    inside = np.clip(auroc, 0.5 / (normal * anomalous), 1 - 0.5 / (normal * anomalous))
    return float(auroc), float(np.interp(inside, aurocs, np.gradient(precisions, aurocs)))


@cache
def _binormal(normal: float, anomalous: float) -> tuple[np.ndarray, np.ndarray]:
    """Return AUROC and average precision of normally distributed scores of equal variance, by growing distance."""
    distances, scores = np.linspace(-8, 8, 641), np.linspace(-8, 16, 4801)
    alarms = normal * norm.sf(scores)
    curves = []
    for distance in distances:
        hits = anomalous * norm.sf(scores - distance)
        curves.append(np.trapezoid(norm.pdf(scores - distance) * hits / (hits + alarms), scores))
    return norm.cdf(distances / np.sqrt(2)), np.array(curves)
