"""The isolation forest: raw pixels as ever, or what scikit-learn makes of principal components."""

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest as Forest

from heldout.methods import Known
from heldout.methods.isolation_forest import IsolationForest, Params
from heldout.numerics.pixels import to_unit_range
from tests.methods.real import digits

IMAGES, LABELS = digits()
NORMAL, UNSEEN = to_unit_range(IMAGES[LABELS == 8]), to_unit_range(IMAGES[::20])


def score(**params):
    method = IsolationForest(Params(**params))
    return method.score(method.fit(Known(NORMAL, seed=4)), UNSEEN, None)["score"]


def test_the_default_is_the_forest_on_raw_pixels():
    forest = Forest(n_estimators=100, max_samples=100, random_state=4).fit(NORMAL.flatten(1).numpy())
    assert torch.equal(score(), torch.from_numpy(-forest.score_samples(UNSEEN.flatten(1).numpy())))


def test_with_pca_it_is_the_forest_on_principal_components():
    train, test = (part.flatten(1).double().numpy() for part in (NORMAL, UNSEEN))
    pca = PCA(20, svd_solver="full").fit(train)
    forest = Forest(n_estimators=100, max_samples=100, random_state=4).fit(pca.transform(train))
    # A cut may fall between two values that rounding swaps, so a path or two out of 100 may differ.
    np.testing.assert_allclose(score(pca=20), -forest.score_samples(pca.transform(test)), atol=2e-3)
