"""Gaussian mixture: how improbable an image is under a few Gaussians fitted to the training images.

    score = -log sum_k pi_k N(v; mu_k, Sigma_k),  v: the image's vector

The number of Gaussians, 2 to 20, is the one with the lowest Bayesian information criterion,
-2 log L + (free parameters) log n, on the n training images.

Source: Deecke et al., ECML-PKDD 2018, section 4.2: "We allowed the number of components to vary over {2, 3, ..., 20}
and selected suitable hyperparameters by evaluating the Bayesian information criterion", after PCA; scikit-learn's
GaussianMixture, whose tolerance and start (k-means, drawn by the run's seed) are ours.
Deviations: the number of principal components follows from the training images (`pca: variance`), where the paper takes
the best on a holdout set (`pca: oracle`). The paper names no kind of covariance; `full` is the mixture that its words
mean without further ones, and the criterion pays for the parameters. Of n images at most n/2 Gaussians are fitted; a
size that does not converge, or whose covariances become singular, is left out.
"""

import warnings
from typing import Literal

from pydantic import Field
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from heldout import registry
from heldout.errors import NumericalFailure
from heldout.methods._features import WHEN, Detect, Detector, FeatureParams, Vectors

FEWEST, MOST = 2, 20  # Gaussians


class Params(FeatureParams):
    covariance: Literal["full", "tied", "diag", "spherical"] = Field(
        "full", description="a covariance each, one for all, variances each, or one variance each (not in the paper)"
    )
    floor: float = Field(
        1e-6, ge=0, description="added to every variance, so that none is 0 (scikit-learn's reg_covar)"
    )
    iterations: int = Field(1000, ge=1, description="most steps of expectation maximisation for each number (ours)")


@registry.method(
    "gmm",
    paper="Deecke et al., ECML-PKDD 2018",
    reads=("images",),
    cost="one density per Gaussian",
    cost_class="fit",
    family="shallow",
    when=WHEN,
    small={"block": 4},
    compared="images",
)
class GMM(Detector):
    def __init__(self, params: Params) -> None:
        self.params = params

    def learn(self, vectors: Vectors, seed: int) -> Detect:
        mixture = self.best(vectors, seed)
        return lambda vectors: -mixture.score_samples(vectors)

    def best(self, vectors: Vectors, seed: int) -> GaussianMixture:
        """Return the mixture with the lowest criterion among the sizes that converged.

        Raises:
            NumericalFailure: no size converged with covariances that can be inverted.
        """
        most = max(FEWEST, min(MOST, len(vectors) // 2))
        fitted = [self._mixture(vectors, components, seed) for components in range(FEWEST, most + 1)]
        converged = [mixture for mixture in fitted if mixture is not None]
        if not converged:
            raise NumericalFailure(
                f"no Gaussian mixture of {FEWEST} to {most} converged within {self.params.iterations} iterations "
                "with covariances that can be inverted"
            )
        return min(converged, key=lambda mixture: mixture.bic(vectors))  # of equals the smallest

    def _mixture(self, vectors: Vectors, components: int, seed: int) -> GaussianMixture | None:
        mixture = GaussianMixture(
            components,
            covariance_type=self.params.covariance,
            reg_covar=self.params.floor,
            max_iter=self.params.iterations,
            random_state=seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # `converged_` says it, too
            try:
                mixture.fit(vectors)
            except ValueError as error:
                if "ill-defined empirical covariance" not in str(error):
                    raise
                return None
        return mixture if mixture.converged_ else None
