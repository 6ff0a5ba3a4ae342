"""KDE against scikit-learn's density and a ten-fold loop written out."""

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.model_selection import KFold

from heldout import registry
from heldout.images import to_unit_range
from heldout.methods.kde import KDE, Params
from tests.methods.real import digits


def log_density(queries, centres, bandwidth):
    """log 1/n sum_i N(v; v_i, h^2 I), written out."""
    squared = ((queries[:, None, :] - centres[None, :, :]) ** 2).sum(2)
    normaliser = centres.shape[1] / 2 * np.log(2 * np.pi * bandwidth**2) + np.log(len(centres))
    return logsumexp(-squared / (2 * bandwidth**2), axis=1) - normaliser


# In 100 dimensions, the density on scikit-learn's default tree is off by up to 32.
@pytest.mark.parametrize("pca", [20, 100])
def test_bandwidth_and_scores_are_those_of_a_ten_fold_loop(pca):
    images, _ = digits()
    normal = to_unit_range(images[::4])
    fitted = KDE(Params(pca=pca)).fit(registry.Known(normal, seed=3))
    vectors = fitted.pca.transform(normal.flatten(1).double().numpy())
    likelihoods = {}
    for bandwidth in [2**0, 2**0.5, 2**1, 2**1.5, 2**2, 2**2.5, 2**3, 2**3.5, 2**4]:
        folds = KFold(10, shuffle=True, random_state=3).split(vectors)
        likelihoods[bandwidth] = sum(log_density(vectors[out], vectors[kept], bandwidth).sum() for kept, out in folds)
    best = max(likelihoods, key=likelihoods.get)
    assert 1 < best < 16  # within the grid, so that another likelihood would choose another one
    unseen = to_unit_range(images[1::20])
    expected = -log_density(fitted.pca.transform(unseen.flatten(1).double().numpy()), vectors, best)
    np.testing.assert_allclose(KDE(Params(pca=pca)).score(fitted, unseen, None)["score"], expected, rtol=1e-9)
