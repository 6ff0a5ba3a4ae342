"""KDE against scikit-learn's density and a ten-fold loop written out."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neighbors import KernelDensity

from heldout.methods import Known
from heldout.methods.kde import KDE, Params
from heldout.numerics.pixels import to_unit_range
from heldout.numerics.scoring_steps import score_images
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
    fitted = KDE(Params(pca=pca)).fit(Known(normal, seed=3))
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


def as_images(vectors):
    return torch.from_numpy(vectors).view(len(vectors), 1, 1, -1)


def scored(params, normal, unseen, seed=0):
    method = KDE(params)
    return score_images(method, method.fit(Known(normal, seed)), unseen, torch.arange(len(unseen)))["score"].numpy()


@pytest.mark.parametrize("deviation", [0.5, 3, 8])
def test_scores_are_those_of_scikit_learn_on_one_leaf(deviation):
    train, test = np.random.default_rng(0).normal(0, deviation, size=(2, 300, 10))
    folds = KFold(10, shuffle=True, random_state=5)
    grid = {"bandwidth": [2**0, 2**0.5, 2**1, 2**1.5, 2**2, 2**2.5, 2**3, 2**3.5, 2**4]}
    expected = GridSearchCV(KernelDensity(leaf_size=300), grid, cv=folds).fit(train).best_estimator_.score_samples(test)
    found = scored(Params(pca=None), as_images(train), as_images(test), seed=5)
    np.testing.assert_allclose(found, -expected, rtol=1e-9)


def test_an_image_far_from_all_others_has_a_finite_score():
    train = np.random.default_rng(0).normal(size=(50, 10))
    far = np.full((1, 10), 1e4)
    expected = -log_density(far, train, 1.0)
    assert expected > 1e8  # exp(-expected) is 0
    np.testing.assert_allclose(scored(Params(pca=None), as_images(train), as_images(far)), expected, rtol=1e-9)


def test_the_density_of_drawn_centres_is_right_in_the_mean():
    train, test = np.random.default_rng(0).uniform(size=(2, 60, 2))  # narrow, so that the bandwidth is always 1
    params, draws = Params(pca=None, centres=10), range(200)
    densities = np.exp([-scored(params, as_images(train), as_images(test), seed) for seed in draws])
    expected = np.exp(log_density(test, train, 1.0))
    standard_errors = densities.std(axis=0, ddof=1) / np.sqrt(len(draws))
    assert (standard_errors > 0).all()  # another seed, other centres
    assert (abs(densities.mean(axis=0) - expected) < 5 * standard_errors).all()


def test_as_many_centres_as_images_are_the_exact_estimate():
    images, _ = digits()
    normal, unseen = to_unit_range(images[::10]), to_unit_range(images[1::20])
    exact = scored(Params(pca=20), normal, unseen)
    np.testing.assert_array_equal(scored(Params(pca=20, centres=len(normal)), normal, unseen), exact)
    assert not np.allclose(scored(Params(pca=20, centres=len(normal) // 2), normal, unseen), exact)


def test_half_of_the_images_as_centres_tell_anomalies_nearly_as_well():
    images, labels = digits()
    normal, unseen = to_unit_range(images[labels != 8][::2]), to_unit_range(images[1::2])
    anomalous = labels[1::2] == 8
    exact = roc_auc_score(anomalous, scored(Params(), normal, unseen))
    found = [roc_auc_score(anomalous, scored(Params(centres=225), normal, unseen, seed)) for seed in range(3)]
    assert exact > 0.8 and min(found) > exact - 0.1


def test_the_place_of_an_image_in_its_block_does_not_matter():
    images, _ = digits()
    normal, unseen = to_unit_range(images[::2]), to_unit_range(images[1::2][:200])
    order = torch.randperm(len(unseen), generator=torch.Generator().manual_seed(0))
    together = scored(Params(), normal, unseen)
    np.testing.assert_array_equal(scored(Params(), normal, unseen[order]), together[order])
    np.testing.assert_array_equal(scored(Params(), normal, unseen[77:90]), together[77:90])
