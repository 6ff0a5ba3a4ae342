"""The mixture against its density and its criterion written out."""

import contextlib

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture

from heldout.errors import NumericalFailure
from heldout.methods import Known
from heldout.methods.gmm import GMM, Params
from heldout.numerics.pixels import to_unit_range
from tests.conftest import noise
from tests.methods.real import digits


def log_likelihood(mixture, vectors):
    parts = [
        np.log(weight) + multivariate_normal(mean, covariance).logpdf(vectors)
        for weight, mean, covariance in zip(mixture.weights_, mixture.means_, mixture.covariances_, strict=True)
    ]
    return logsumexp(parts, axis=0)


def test_the_number_of_gaussians_has_the_lowest_criterion_by_its_formula():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(240, 3)) + 8 * rng.integers(0, 2, size=(240, 3))  # on the corners of a cube
    n, d = vectors.shape
    criterion = {}
    for k in range(2, 21):
        mixture = GaussianMixture(k, max_iter=1000, random_state=5).fit(vectors)
        free = k - 1 + k * d + k * d * (d + 1) / 2  # weights, means, covariances
        criterion[k] = -2 * log_likelihood(mixture, vectors).sum() + free * np.log(n)
    best = GMM(Params()).best(vectors, seed=5)
    assert best.n_components == min(criterion, key=criterion.get) == 8


def test_scores_are_minus_the_log_density_of_the_images_vectors():
    images, labels = digits()
    normal, unseen = to_unit_range(images[labels == 0]), to_unit_range(images[::20])
    method = GMM(Params(pca=5))
    fitted = method.fit(Known(normal, seed=0))
    mixture = method.best(fitted.pca.transform(normal.flatten(1).double().numpy()), seed=0)
    expected = -log_likelihood(mixture, fitted.pca.transform(unseen.flatten(1).double().numpy()))
    np.testing.assert_allclose(method.score(fitted, unseen, None)["score"], expected, rtol=1e-9)


def test_few_images_have_few_gaussians():
    vectors = np.random.default_rng(0).normal(size=(7, 2)) * [1, 1e-9]
    assert GMM(Params()).best(vectors, seed=0).n_components <= 3


def test_a_mixture_that_does_not_converge_is_left_out_and_none_at_all_is_a_failure(recwarn):
    images = to_unit_range(noise(40, 1, 16))
    with pytest.raises(NumericalFailure, match="no Gaussian mixture of 2 to 20 converged within 1 iterations"):
        GMM(Params(iterations=1, covariance="diag")).fit(Known(images, seed=0))
    assert not recwarn.list


def test_a_size_with_a_singular_covariance_is_left_out_and_none_at_all_is_a_failure():
    rng = np.random.default_rng(0)
    vectors = np.concatenate([5 * rng.normal(size=(60, 2)), np.zeros((8, 2))])  # a Gaussian on equal ones has no width
    invertible = {}
    for k in range(2, 21):
        mixture = GaussianMixture(k, reg_covar=0, max_iter=1000, random_state=0)
        with contextlib.suppress(ValueError):
            invertible[k] = mixture.fit(vectors).bic(vectors)
    assert 0 < len(invertible) < 19
    assert GMM(Params(floor=0)).best(vectors, seed=0).n_components == min(invertible, key=invertible.get)
    with pytest.raises(NumericalFailure, match="no Gaussian mixture of 2 to 20 converged"):
        GMM(Params(floor=0)).best(np.zeros((40, 2)), seed=0)
