"""One-class support vector machine: negative decision function of an SVM around the training images.

    score = rho - sum_i alpha_i k(v_i, v),  k(a, b) = exp(-gamma ||a - b||^2)

Far from all training images, the score is rho.

`gamma: evangelista` maximises variance / mean of the kernel matrix without its diagonal. It goes from wide to narrow
kernels, gamma = 2^(j/4) / (median squared distance) for j = -32, -31, ..., and stops at the first maximum: a later,
higher maximum can occur at widths where only near duplicates are similar.

The time of the exact solver grows at least quadratically with the training images, that of `solver: nystroem` linearly.
It replaces k(a, b) by phi(a)^T phi(b), phi(v) = K^(-1/2) (k(l_1, v), ..., k(l_m, v)). The landmarks l are m training
images, drawn with the run's seed, and K is their kernel matrix. Stochastic gradient descent gives

    score = rho - w^T phi(v)

Source: Deecke et al., ECML-PKDD 2018, section 4.2: Gaussian kernel, nu = 0.1, inverse length scale by the "automated
tuning" of Evangelista, Embrechts, Szymanski, ICANN 2007, after PCA; scikit-learn's OneClassSVM. One-class SVM:
Schoelkopf et al., Neural Computation 2001. Nystroem: Williams, Seeger, NIPS 2000; scikit-learn's Nystroem and
SGDOneClassSVM, with the tolerance of scikit-learn's comparison of the two.
Deviations: the number of principal components follows from the training images (`pca: variance`); the paper takes the
best on a holdout set (`pca: oracle`). Evangelista's criterion follows later descriptions of it; a grid replaces the
hill climbing, and the matrix uses at most `pairs_from` images, drawn with the run's seed. `nystroem` is not in the
paper and gives different scores: docs/performance.md compares its AUROC and time with those of the exact solver.
"""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from scipy.spatial.distance import pdist
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import SGDOneClassSVM
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.svm import OneClassSVM

from heldout import registry
from heldout.errors import NumericalFailure
from heldout.methods._features import WHEN, Detect, Detector, FeatureParams, Vectors, drawn

EXPONENTS = [quarter / 4 for quarter in range(-32, 33)]  # of 2, times 1 / (median squared distance)


class Params(FeatureParams):
    nu: float = Field(
        0.1,
        gt=0,
        le=1,
        description="upper bound of the fraction of outliers in training (ADGAN section 4.2)",
    )
    gamma: Annotated[float, Field(gt=0)] | Literal["evangelista", "scale"] = Field(
        "evangelista",
        description="inverse squared width of the kernel: a number; `evangelista`: from distances of training images; "
        "`scale`: scikit-learn's 1 / (numbers * variance)",
    )
    pairs_from: int = Field(2000, ge=2, description="number of training images for `gamma: evangelista` (ours)")
    solver: Literal["exact", "nystroem"] = Field(
        "exact",
        description="exact SVM; or (ours) a linear SVM on Nystroem features, whose scores differ; faster for more than "
        "5,000 to 15,000 training images",
    )
    landmarks: int = Field(
        1000, ge=1, description="number of landmarks for nystroem: training images, drawn with the run's seed"
    )


@registry.method(
    "ocsvm",
    paper="Deecke et al., ECML-PKDD 2018",
    reads=("images",),
    cost="one kernel per support vector",
    cost_class="fit",
    family="shallow",
    when=WHEN,
    small={"block": 4},
    compared="landmarks if solver == 'nystroem' else images",
)
class OCSVM(Detector):
    def __init__(self, params: Params) -> None:
        self.params = params

    def learn(self, vectors: Vectors, seed: int) -> Detect:
        machine = self._machine(self._gamma(vectors, seed), len(vectors), seed).fit(vectors)
        return lambda vectors: -machine.decision_function(vectors)

    def _gamma(self, vectors: Vectors, seed: int) -> float:
        if self.params.gamma == "evangelista":
            return evangelista_gamma(drawn(vectors, self.params.pairs_from, seed, "kernel width"))
        if self.params.gamma == "scale":
            return 1 / (vectors.shape[1] * vectors.var())
        return self.params.gamma

    def _machine(self, gamma: float, count: int, seed: int) -> OneClassSVM | Pipeline:
        if self.params.solver == "exact":
            return OneClassSVM(nu=self.params.nu, gamma=gamma)
        return make_pipeline(
            Nystroem(gamma=gamma, n_components=min(self.params.landmarks, count), random_state=seed),
            SGDOneClassSVM(nu=self.params.nu, tol=1e-4, random_state=seed),
        )


def evangelista_gamma(vectors: Vectors) -> float:
    """Return the gamma of the first maximum of variance / mean of the kernel matrix without its diagonal.

    Raises:
        NumericalFailure: most training images are identical, so their distances determine no width.
    """
    squared = pdist(vectors, "sqeuclidean")
    median = np.median(squared)
    if median == 0:
        raise NumericalFailure("most training images are identical: their distances determine no kernel width")
    best, highest = 0.0, -np.inf
    for gamma in 2.0 ** np.array(EXPONENTS) / median:
        kernel = np.exp(-gamma * squared)
        spread = kernel.var() / kernel.mean()
        if spread <= highest:
            break
        best, highest = float(gamma), spread
    return best
