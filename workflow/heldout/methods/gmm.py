"""Gaussian mixture: negative log-likelihood under a mixture fitted to the training images.

    score = -log sum_k pi_k N(v; mu_k, Sigma_k),  v: the image's vector

The number of Gaussians, 2 to 20, minimises the Bayesian information criterion, -2 log L + (free parameters) log n, on
the n training images.

Source: Deecke et al., ECML-PKDD 2018, section 4.2: "We allowed the number of components to vary over {2, 3, ..., 20}
and selected suitable hyperparameters by evaluating the Bayesian information criterion", after PCA; scikit-learn's
GaussianMixture with its default tolerance and initialisation (k-means, seeded with the run's seed).
Deviations: the number of principal components follows from the training images (`pca: variance`); the paper takes the
best on a holdout set (`pca: oracle`). The paper does not name the type of covariance; `full` is the general mixture,
and the criterion penalises its parameters. At most n/2 Gaussians are fitted; a mixture that does not converge, or that
has singular covariances, is skipped.
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
        "full", description="as in scikit-learn: own, shared, diagonal or spherical covariances (not in the paper)"
    )
    floor: float = Field(
        1e-6, ge=0, description="added to every variance to keep it positive (scikit-learn's reg_covar)"
    )
    iterations: int = Field(1000, ge=1, description="maximum number of EM steps for each number of Gaussians (ours)")


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
        """Return the mixture with the lowest criterion among those that converged.

        Raises:
            NumericalFailure: no mixture converged with invertible covariances.
        """
        most = max(FEWEST, min(MOST, len(vectors) // 2))
        fitted = [self._mixture(vectors, components, seed) for components in range(FEWEST, most + 1)]
        converged = [mixture for mixture in fitted if mixture is not None]
        if not converged:
            raise NumericalFailure(
                f"no Gaussian mixture of {FEWEST} to {most} converged within {self.params.iterations} iterations "
                "with invertible covariances"
            )
        return min(converged, key=lambda mixture: mixture.bic(vectors))  # the smallest of equals

    def _mixture(self, vectors: Vectors, components: int, seed: int) -> GaussianMixture | None:
        mixture = GaussianMixture(
            components,
            covariance_type=self.params.covariance,
            reg_covar=self.params.floor,
            max_iter=self.params.iterations,
            random_state=seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # `converged_` tells the same
            try:
                mixture.fit(vectors)
            except ValueError as error:
                if "ill-defined empirical covariance" not in str(error):
                    raise
                return None
        return mixture if mixture.converged_ else None
