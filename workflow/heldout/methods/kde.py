"""Kernel density estimation: negative log-density of the training images at an image.

    score = -log 1/n sum_i N(v; v_i, h^2 I),  v: the image's vector,  v_i: the training images' vectors

The bandwidth h, one of {2^0, 2^0.5, ..., 2^4}, maximises the log-likelihood of left-out training images. The time of
this search grows quadratically with the training images. `centres` bounds it: a sample of the training images, drawn
with the run's seed, replaces all of them in the sum and in the search. For a given h, its expected density is that of
all images.

Source: Deecke et al., ECML-PKDD 2018, section 4.2: Gaussian kernel, these bandwidths, ten-fold cross-validation, after
PCA. The estimator: Parzen 1962.
Deviations: the number of principal components follows from the training images (`pca: variance`); the paper takes the
best on a holdout set (`pca: oracle`). The paper does not describe its folds; we draw them with the run's seed. Pixels
are in [-1, 1], as in the paper's section 4.1; the bandwidths depend on this scale. We compute the sum exactly.
scikit-learn's KernelDensity loses it to rounding on a tree of many leaves (its issues 7492 and 25799): for coats of
Fashion-MNIST and a bandwidth of 1, logarithms were wrong by up to 141, and the AUROC was 0.86 instead of 0.89. With a
tolerance that tree is still wrong, and slower (docs/performance.md), so `centres`, which is ours, draws a sample.
"""

import numpy as np
from pydantic import Field
from sklearn.metrics import euclidean_distances
from sklearn.model_selection import KFold

from heldout import registry
from heldout.methods._features import WHEN, Detect, Detector, FeatureParams, Vectors, drawn

BANDWIDTHS = [2 ** (half / 2) for half in range(9)]
LEFT_OUT_AT_ONCE = 64  # images per distance matrix; 25 MB for 50,000 others


class Params(FeatureParams):
    folds: int = Field(10, ge=2, description="folds of the cross-validation, at most one per image (ADGAN section 4.2)")
    centres: int | None = Field(
        None,
        ge=2,
        description="number of training images, drawn with the run's seed, in the estimate; none: all, which is exact",
    )


@registry.method(
    "kde",
    paper="Deecke et al., ECML-PKDD 2018",
    reads=("images",),
    cost="one kernel per training image, or centre",
    cost_class="fit",
    family="shallow",
    when=WHEN,
    small={"folds": 3, "block": 4},
    compared="centres or images",
)
class KDE(Detector):
    def __init__(self, params: Params) -> None:
        self.params = params

    def learn(self, vectors: Vectors, seed: int) -> Detect:
        count = self.params.centres or len(vectors)
        centres = drawn(vectors, count, seed, "kernel centres")
        bandwidth = self._best_bandwidth(centres, seed)
        return lambda vectors: -log_densities(vectors, centres, [bandwidth])[:, 0]

    def _best_bandwidth(self, vectors: Vectors, seed: int) -> float:
        likelihoods = np.zeros(len(BANDWIDTHS))
        for kept, out in KFold(min(self.params.folds, len(vectors)), shuffle=True, random_state=seed).split(vectors):
            centres = vectors[kept]
            for first in range(0, len(out), LEFT_OUT_AT_ONCE):
                some = vectors[out[first : first + LEFT_OUT_AT_ONCE]]
                likelihoods += log_densities(some, centres, BANDWIDTHS).sum(axis=0)
        return BANDWIDTHS[likelihoods.argmax()]  # the smallest of equals


def log_densities(vectors: Vectors, centres: Vectors, bandwidths: list[float]) -> np.ndarray:
    """Return log 1/n sum_i N(v; v_i, h^2 I) of each vector v under each bandwidth h, `(N, bandwidths)`.

    Args:
        vectors: the v, `(N, dimensions)`.
        centres: the v_i, `(n, dimensions)`.
        bandwidths: the h, ascending by factors of sqrt(2).
    """
    squared = euclidean_distances(vectors, centres, squared=True)  # (N, n)
    nearest = squared.min(axis=1)
    squared -= nearest[:, None]  # the nearest centre's kernel becomes 1, so no sum underflows to 0
    kernels = np.exp(squared / (-2 * bandwidths[-1] ** 2), out=squared)
    densities = []
    for h in reversed(bandwidths):
        normaliser = centres.shape[1] / 2 * np.log(2 * np.pi * h**2) + np.log(len(centres))
        densities.append(np.log(kernels.sum(axis=1)) - nearest / (2 * h**2) - normaliser)
        np.square(kernels, out=kernels)  # h^2 halves for the next: exp(-d^2 / h^2) = exp(-d^2 / 2h^2)^2
    return np.stack(densities[::-1], axis=1)
