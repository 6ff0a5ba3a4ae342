"""Metrics of a ranking of images (anomalous = positive): point values from scikit-learn, bootstrap intervals.

- `auroc`: area under the ROC curve
- `average_precision`: sum of precision x step in recall
- `auprc_trapezoid`: trapezoidal area under the precision-recall curve, as in EGBAD's code
- `fpr_at_95_tpr`: smallest false positive rate with a true positive rate of at least 0.95

Random scores have AUROC 0.5 and an average precision equal to the fraction of anomalies.
The bootstrap is stratified: it resamples each class separately, so the fraction of anomalies is fixed. Its percentiles
describe the sampling of test images, not the randomness of training.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import auc, average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from heldout.evaluation.intervals import LEVEL

METRICS = ("auroc", "average_precision", "auprc_trapezoid", "fpr_at_95_tpr")
TPR = 0.95
GRID = np.linspace(0, 1, 201)  # false positive rates of all curves
_AT_ONCE = 2_000_000  # numbers in one batch of resamples


@dataclass(frozen=True)
class Resampled:
    """The bootstrap of one run and method.

    Attributes:
        metrics: `(resamples,)` per metric.
        tpr: `(resamples, 201)`, the true positive rate at `GRID`.
    """

    metrics: dict[str, np.ndarray]
    tpr: np.ndarray


def point_values(is_anomalous: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Return every metric of `(N,)` scores, higher = more anomalous, as scikit-learn computes it."""
    precision, recall, _ = precision_recall_curve(is_anomalous, scores)
    fpr, tpr, _ = roc_curve(is_anomalous, scores, drop_intermediate=False)
    return {
        "auroc": float(roc_auc_score(is_anomalous, scores)),
        "average_precision": float(average_precision_score(is_anomalous, scores)),
        "auprc_trapezoid": float(auc(recall, precision)),
        "fpr_at_95_tpr": float(fpr[np.argmax(tpr >= TPR)]),
    }


def resample_counts(strata: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """Return `(resamples, N)`: how often each image is drawn; the size of each of the `(N,)` strata is fixed."""
    counts = np.zeros((resamples, len(strata)), np.int32)
    for name in np.unique(strata):
        members = np.flatnonzero(strata == name)
        equal = np.full(len(members), 1 / len(members))
        counts[:, members] = rng.multinomial(len(members), equal, size=resamples)
    return counts


def bootstrap(is_anomalous: np.ndarray, scores: np.ndarray, counts: np.ndarray) -> Resampled:
    """Return the metrics of every resample, as scikit-learn would with the counts as `sample_weight`.

    scikit-learn takes one resample at a time, which is a thousand times slower; a test compares the two.
    """
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    batch = max(1, _AT_ONCE // len(scores))
    parts = [
        _of_batch(is_anomalous[order], counts[first : first + batch, order], last_of_tie)
        for first in range(0, len(counts), batch)
    ]
    metrics = {name: np.concatenate([part.metrics[name] for part in parts]) for name in METRICS}
    return Resampled(metrics, np.concatenate([part.tpr for part in parts]))


def percentiles(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95 % percentile interval over the first axis: resampled values `(resamples, ...)`."""
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low, high


def curve(is_anomalous: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return the true positive rate at `GRID`."""
    fpr, tpr, _ = roc_curve(is_anomalous, scores)
    return np.interp(GRID, fpr, tpr)


def _of_batch(is_anomalous: np.ndarray, counts: np.ndarray, last_of_tie: np.ndarray) -> Resampled:
    # Cumulative counts in descending order of score, at the last of equal scores, after a leading 0.
    def cumulated(members: np.ndarray) -> np.ndarray:
        sums = np.cumsum(counts * members, axis=1)[:, last_of_tie]
        return np.pad(sums, ((0, 0), (1, 0)))  # (resamples, thresholds + 1)

    hits, alarms = cumulated(is_anomalous), cumulated(~is_anomalous)
    tpr, fpr = hits / hits[:, -1:], alarms / alarms[:, -1:]
    with np.errstate(invalid="ignore"):
        precision = np.where(hits + alarms > 0, hits / (hits + alarms), 1.0)  # 1 at recall 0, by convention
    steps = np.diff(tpr, axis=1)
    metrics = {
        "auroc": np.trapezoid(tpr, fpr, axis=1),
        "average_precision": (steps * precision[:, 1:]).sum(axis=1),
        "auprc_trapezoid": (steps * (precision[:, 1:] + precision[:, :-1]) / 2).sum(axis=1),
        "fpr_at_95_tpr": np.take_along_axis(fpr, np.argmax(tpr >= TPR, axis=1)[:, None], axis=1)[:, 0],
    }
    at_grid = np.stack([np.interp(GRID, *pair) for pair in zip(fpr, tpr, strict=True)])
    return Resampled(metrics, at_grid)
