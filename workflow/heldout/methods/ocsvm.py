"""One-class support vector machine: how far outside the training images' region an image lies.

    score = rho - sum_i alpha_i k(v_i, v),  k(a, b) = exp(-gamma ||a - b||^2)

`gamma: evangelista` makes the entries of the kernel matrix differ, those of the diagonal left out: it climbs
variance / mean from wide kernels to narrow ones, gamma = 2^(j/4) / (median squared distance) for j = -32, -31, ..., to
the first maximum. A higher one may follow, at widths where only near duplicates are alike: every image of its own kind.

Source: Deecke et al., ECML-PKDD 2018, section 4.2: Gaussian kernel, nu = 0.1, inverse length scale by the "automated
tuning" of Evangelista, Embrechts, Szymanski, ICANN 2007, after PCA; scikit-learn's OneClassSVM. The machine:
Schoelkopf et al., Neural Computation 2001.
Deviations: the number of principal components follows from the training images (`pca: variance`), where the paper takes
the best on a holdout set (`pca: oracle`). Evangelista's criterion as others restate it; a grid stands for the hill
climbing, and at most `pairs_from` images, drawn by the run's seed, give the matrix.
"""

from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field
from scipy.spatial.distance import pdist
from sklearn.svm import OneClassSVM
from torch import Tensor

from heldout import features, randomness, registry
from heldout.errors import NumericalFailure

EXPONENTS = [quarter / 4 for quarter in range(-32, 33)]  # of 2, times 1 / (median squared distance)


class Params(features.FeatureParams):
    nu: float = Field(0.1, gt=0, le=1, description="most of the training images left outside (ADGAN section 4.2)")
    gamma: Annotated[float, Field(gt=0)] | Literal["evangelista", "scale"] = Field(
        "evangelista",
        description="inverse squared width of the kernel: a number; `evangelista`, by the training images' distances; "
        "`scale`, scikit-learn's 1 / (numbers * variance)",
    )
    pairs_from: int = Field(2000, ge=2, description="training images whose pairs give gamma (ours)")

    small: ClassVar[dict[str, Any]] = {"block": 4}


@registry.method(
    "ocsvm",
    reads=("images",),
    cost="one kernel per support vector",
    cost_class="fit",
    color="#35978f",
    when=features.WHEN,
)
class OCSVM:
    def __init__(self, params: Params) -> None:
        self.params = params

    def fit(self, known: registry.Known) -> features.Fitted:
        """Choose gamma and fit the machine to the normal images.

        Raises:
            NumericalFailure: most training images are equal, so that no width follows from their distances.
        """

        def learn(vectors: features.Vectors) -> features.Detector:
            gamma = self.params.gamma
            if gamma == "evangelista":
                gamma = evangelista_gamma(_some(vectors, self.params.pairs_from, known.seed))
            machine = OneClassSVM(nu=self.params.nu, gamma=gamma).fit(vectors)
            return lambda vectors: -machine.decision_function(vectors)

        return features.fit(self.params, known, learn)

    def score(self, model: features.Fitted, images: Tensor, keys: Tensor) -> dict[str, Tensor]:
        """Score images; higher is more anomalous. Far from all training images, every score is rho.

        Args:
            model: what `fit` returned.
            images: `(N, C, H, W)` float32 in [-1, 1].
            keys: unused: nothing is drawn.
        """
        return {"score": model(images)}


def evangelista_gamma(vectors: features.Vectors) -> float:
    """Return the gamma of the first maximum of the kernel matrix's variance / mean, the diagonal left out."""
    squared = pdist(vectors, "sqeuclidean")
    median = np.median(squared)
    if median == 0:
        raise NumericalFailure("most training images are equal: no width of the kernel follows from their distances")
    best, highest = 0.0, -np.inf
    for gamma in 2.0 ** np.array(EXPONENTS) / median:
        kernel = np.exp(-gamma * squared)
        spread = kernel.var() / kernel.mean()
        if spread <= highest:
            break
        best, highest = float(gamma), spread
    return best


def _some(vectors: features.Vectors, count: int, seed: int) -> features.Vectors:
    if len(vectors) <= count:
        return vectors
    return np.random.default_rng(randomness.derive(seed, "kernel width")).permutation(vectors)[:count]
