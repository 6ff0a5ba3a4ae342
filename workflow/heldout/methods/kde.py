"""Kernel density estimation: how thinly the training images lie around an image.

    score = -log 1/n sum_i N(v; v_i, h^2 I),  v: the image's vector, v_i the training images'

The bandwidth h of {2^0, 2^0.5, ..., 2^4} is the one with the highest log-likelihood of left-out training images.

Source: Deecke et al., ECML-PKDD 2018, section 4.2: Gaussian kernel, those bandwidths, ten-fold cross-validation, after
PCA; scikit-learn's KernelDensity and GridSearchCV. The estimator: Parzen 1962.
Deviations: the number of principal components follows from the training images (`pca: variance`), where the paper takes
the best on a holdout set (`pca: oracle`); it does not say how it shuffles, so the run's seed draws the folds. Pixels
lie in [-1, 1], as the paper rescales them in section 4.1: a bandwidth has a meaning only with that. The sum is exact,
where scikit-learn's default, on a tree of many leaves, loses it in rounding (its issues 7492 and 25799): for coats of
Fashion-MNIST and a bandwidth of 1, logarithms were off by up to 141, and the AUROC was 0.86 for 0.89.
"""

from typing import Any, ClassVar

from pydantic import Field
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neighbors import KernelDensity
from torch import Tensor

from heldout import features, registry

BANDWIDTHS = [2 ** (half / 2) for half in range(9)]


class Params(features.FeatureParams):
    folds: int = Field(10, ge=2, description="parts of the cross-validation, at most one per image (ADGAN section 4.2)")

    small: ClassVar[dict[str, Any]] = {"folds": 3, "block": 4}


@registry.method(
    "kde",
    reads=("images",),
    cost="one kernel per training image",
    cost_class="fit",
    color="#8c510a",
    when=features.WHEN,
)
class KDE:
    def __init__(self, params: Params) -> None:
        self.params = params

    def fit(self, known: registry.Known) -> features.Fitted:
        """Choose the bandwidth and keep the normal images' vectors."""

        def learn(vectors: features.Vectors) -> features.Detector:
            folds = KFold(min(self.params.folds, len(vectors)), shuffle=True, random_state=known.seed)
            one_leaf = KernelDensity(leaf_size=len(vectors))
            search = GridSearchCV(one_leaf, {"bandwidth": BANDWIDTHS}, cv=folds).fit(vectors)
            return lambda vectors: -search.best_estimator_.score_samples(vectors)

        return features.fit(self.params, known, learn)

    def score(self, model: features.Fitted, images: Tensor, keys: Tensor) -> dict[str, Tensor]:
        """Score images; higher is more anomalous.

        Args:
            model: what `fit` returned.
            images: `(N, C, H, W)` float32 in [-1, 1].
            keys: unused: nothing is drawn.
        """
        return {"score": model(images)}
