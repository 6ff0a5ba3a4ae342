"""How often intervals cover a known value: one class, the mean over ten classes of the same images, several seeds.

Scores are normally distributed, so the true AUROC and average precision are known by integration. Goal, for 20 normal
and 20 anomalous images or more and AUROC up to 0.99: at least 0.93, at most 0.99, and never zero width.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from heldout.evaluation import intervals, metrics
from tests.benchmarks._measuring import Table

REPETITIONS = 1000
COUNTS = ((6, 54), (20, 180), (30, 270), (71, 640), (50, 50), (180, 20), (500, 500))  # normal, anomalous
AUROCS = (0.5, 0.75, 0.87, 0.95, 0.99)
METRICS = {"auroc": roc_auc_score, "average_precision": average_precision_score}
CLASSES, LENGTH = 10, 12  # of the mean: classes, and the length of an image's features
HEADER = ["true", "covered", "too high", "too low", "width", "ideal"]


@dataclass
class Cover:
    """What the intervals of one case did."""

    truth: float
    found: list[tuple[float, float, float]] = field(default_factory=list)

    def cells(self) -> list[str]:
        value, low, high = np.array(self.found).T
        assert (high > low).all(), "an interval has zero width"
        above, below = (low > self.truth).mean(), (high < self.truth).mean()
        shares = [f"{share:.3f}" for share in (1 - above - below, above, below)]
        return [f"{self.truth:.4f}", *shares, f"{(high - low).mean():.4f}", f"{2 * 1.96 * value.std():.4f}"]


def measure(rounds: int) -> list[Table]:
    """Simulate; `rounds` has no effect."""
    header = ["metric", "normal", "anomalous", "AUROC"]
    return [
        Table(
            "One class, one seed; `percentiles`: the coverage of a bootstrap's percentiles, for comparison",
            [*header, *HEADER, "percentiles"],
            list(_of_one_class()),
        ),
        Table(f"Mean over {CLASSES} classes of the same images", [*header, *HEADER], list(_of_the_mean())),
        Table("One class, mean over seeds that differ", ["seeds", *header, *HEADER], list(_of_seeds())),
    ]


def true_average_precision(normal: int, anomalous: int, distance: float) -> float:
    def at(score: float) -> float:
        hits = anomalous * norm.sf(score - distance)
        return norm.pdf(score - distance) * hits / (hits + normal * norm.sf(score))

    return quad(at, distance - 8, distance + 8, limit=200)[0]


def _of_one_class() -> Iterator[list[str]]:
    for normal, anomalous in COUNTS:
        is_anomalous = np.arange(normal + anomalous) >= normal
        for auroc in AUROCS:
            rng, distance = np.random.default_rng(0), norm.ppf(auroc) * 2**0.5
            truths = {"auroc": auroc, "average_precision": true_average_precision(normal, anomalous, distance)}
            draws = [rng.normal(size=len(is_anomalous)) + distance * is_anomalous for _ in range(REPETITIONS)]
            for metric, truth in truths.items():
                cover, bootstrapped = Cover(truth), 0
                for scores in draws:
                    cover.found.append(_interval(metric, [is_anomalous], [[scores]]))
                for scores in draws[::5]:
                    counts = metrics.resample_counts(is_anomalous, 300, rng)
                    low, high = metrics.percentiles(metrics.bootstrap(is_anomalous, scores, counts).metrics[metric])
                    bootstrapped += low <= truth <= high
                percentiles = f"{bootstrapped / len(draws[::5]):.2f}"
                yield [metric, str(normal), str(anomalous), str(auroc), *cover.cells(), percentiles]


def _of_the_mean() -> Iterator[list[str]]:
    """An image's score for a class is its squared distance to the class's centre."""
    centres = np.random.default_rng(0).normal(size=(CLASSES, LENGTH)) / LENGTH**0.5

    def draw(each: int, apart: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        classes = np.repeat(np.arange(CLASSES), each)
        images = apart * centres[classes] + rng.normal(size=(len(classes), LENGTH))
        scores = ((images[None] - apart * centres[:, None]) ** 2).sum(axis=2)
        return classes != np.arange(CLASSES)[:, None], scores

    for each in (20, 50):
        for apart in (1.0, 2.0, 3.0, 4.5):
            rng = np.random.default_rng(1)
            labels, scores = draw(4000, apart, rng)
            truths = {
                metric: np.mean([of(*pair) for pair in zip(labels, scores, strict=True)])
                for metric, of in METRICS.items()
            }
            covers = {metric: Cover(truth) for metric, truth in truths.items()}
            for _ in range(REPETITIONS // 2):
                labels, scores = draw(each, apart, rng)
                for metric, cover in covers.items():
                    cover.found.append(_interval(metric, list(labels), [[of_class] for of_class in scores]))
            about = [str(each), str(each * (CLASSES - 1)), f"{truths['auroc']:.3f}"]
            yield from ([metric, *about, *cover.cells()] for metric, cover in covers.items())


def _of_seeds() -> Iterator[list[str]]:
    """Seeds share half of an image's noise; the distance of anomalies differs from seed to seed."""
    normal, anomalous, spread = 50, 450, 0.15
    is_anomalous = np.arange(normal + anomalous) >= normal
    for seeds in (3, 5):
        for auroc in (0.75, 0.95):
            rng, distance = np.random.default_rng(2), norm.ppf(auroc) * 2**0.5
            covers = {
                "auroc": Cover(_mean_over(distance, spread, lambda one: norm.cdf(one / 2**0.5))),
                "average_precision": Cover(
                    _mean_over(distance, spread, lambda one: true_average_precision(normal, anomalous, one))
                ),
            }
            for _ in range(REPETITIONS):
                shared = rng.normal(size=len(is_anomalous))
                of_seeds = [
                    (shared + rng.normal(size=len(is_anomalous))) / 2**0.5
                    + (distance + spread * rng.normal()) * is_anomalous
                    for _ in range(seeds)
                ]
                for metric, cover in covers.items():
                    cover.found.append(_interval(metric, [is_anomalous], [of_seeds]))
            for metric, cover in covers.items():
                yield [str(seeds), metric, str(normal), str(anomalous), str(auroc), *cover.cells()]


def _mean_over(distance: float, spread: float, of: Callable[[float], float]) -> float:
    nodes, weights = np.polynomial.hermite_e.hermegauss(9)
    return (
        float(sum(weight * of(distance + spread * node) for node, weight in zip(nodes, weights, strict=True)))
        / (2 * np.pi) ** 0.5
    )


def _interval(metric: str, labels: list[np.ndarray], scores: list[list[np.ndarray]]) -> tuple[float, float, float]:
    """Return the value and its interval, from labels by class and scores by class and seed."""
    positions = np.arange(len(labels[0]))
    by_seed = np.mean(
        [[METRICS[metric](of, one) for one in seeds] for of, seeds in zip(labels, scores, strict=True)], axis=0
    )
    parts = [intervals.Part.of(metric, positions, of, seeds) for of, seeds in zip(labels, scores, strict=True)]
    return by_seed.mean(), *intervals.interval(metric, by_seed.mean(), parts, by_seed)
