"""Kernel density estimation: how thinly the training images lie around an image.

    score = -log 1/n sum_i N(v; v_i, h^2 I),  v: the image's vector, v_i the training images'

The bandwidth h of {2^0, 2^0.5, ..., 2^4} is the one with the highest log-likelihood of left-out training images. The
time of that search grows quadratically with the training images. With `centres`, so many of them, drawn by the run's
seed, stand for all, in the sum and in the search: the time no longer grows, and for a given h the density is that of
all images in the mean over draws.

Source: Deecke et al., ECML-PKDD 2018, section 4.2: Gaussian kernel, those bandwidths, ten-fold cross-validation, after
PCA. The estimator: Parzen 1962.
Deviations: the number of principal components follows from the training images (`pca: variance`), where the paper takes
the best on a holdout set (`pca: oracle`); it does not say how it shuffles, so the run's seed draws the folds. Pixels
lie in [-1, 1], as the paper rescales them in section 4.1: a bandwidth has a meaning only with that. The sum is ours and
exact, where scikit-learn's KernelDensity on a tree of many leaves loses it in rounding (its issues 7492 and 25799): for
coats of Fashion-MNIST and a bandwidth of 1, logarithms were off by up to 141, and the AUROC was 0.86 for 0.89. A
tolerance makes that tree neither right nor as fast (docs/performance.md); so `centres`, which the paper does not
have, is a sample.
"""

import numpy as np
from pydantic import Field
from sklearn.metrics import euclidean_distances
from sklearn.model_selection import KFold

from heldout import registry
from heldout.methods._features import WHEN, Detect, Detector, FeatureParams, Vectors, drawn

BANDWIDTHS = [2 ** (half / 2) for half in range(9)]
LEFT_OUT_AT_ONCE = 64  # images whose distances are held: to 50,000 others 25 MB


class Params(FeatureParams):
    folds: int = Field(10, ge=2, description="parts of the cross-validation, at most one per image (ADGAN section 4.2)")
    centres: int | None = Field(
        None,
        ge=2,
        description="training images, drawn by the run's seed, that carry a kernel; none: all, the exact estimate",
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
        return BANDWIDTHS[likelihoods.argmax()]  # of equals the smallest


def log_densities(vectors: Vectors, centres: Vectors, bandwidths: list[float]) -> np.ndarray:
    """Return log 1/n sum_i N(v; v_i, h^2 I) of each vector v under each bandwidth h, `(N, bandwidths)`.

    Args:
        vectors: the v, `(N, dimensions)`.
        centres: the v_i, `(n, dimensions)`.
        bandwidths: the h, each sqrt(2) times the one before.
    """
    squared = euclidean_distances(vectors, centres, squared=True)  # (N, n)
    nearest = squared.min(axis=1)
    squared -= nearest[:, None]  # so that the nearest centre's kernel is 1, and no sum is 0
    kernels = np.exp(squared / (-2 * bandwidths[-1] ** 2), out=squared)
    densities = []
    for h in reversed(bandwidths):
        normaliser = centres.shape[1] / 2 * np.log(2 * np.pi * h**2) + np.log(len(centres))
        densities.append(np.log(kernels.sum(axis=1)) - nearest / (2 * h**2) - normaliser)
        np.square(kernels, out=kernels)  # h^2 is half as large for the next one: exp(-d^2 / h^2) = exp(-d^2 / 2h^2)^2
    return np.stack(densities[::-1], axis=1)
