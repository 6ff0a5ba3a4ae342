"""The one-class SVM against scikit-learn called directly, and Evangelista's criterion written out."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score
from sklearn.svm import OneClassSVM

from heldout.errors import NumericalFailure
from heldout.methods import Known
from heldout.methods.ocsvm import OCSVM, Params, evangelista_gamma
from heldout.numerics.pixels import to_unit_range
from heldout.numerics.scoring_steps import score_images
from tests.methods.real import digits


def criterion(vectors, gamma):
    """Variance over mean of the kernel matrix without its diagonal, in two loops."""
    kernel = []
    for i in range(len(vectors)):
        for j in range(len(vectors)):
            if i != j:
                kernel.append(math.exp(-gamma * sum((a - b) ** 2 for a, b in zip(vectors[i], vectors[j], strict=True))))
    mean = sum(kernel) / len(kernel)
    return sum((entry - mean) ** 2 for entry in kernel) / len(kernel) / mean


def test_gamma_is_a_maximum_of_evangelistas_criterion():
    vectors = np.random.default_rng(0).normal(size=(30, 4)) * [3, 2, 1, 1]
    gamma = evangelista_gamma(vectors)
    step = 2**0.25
    assert criterion(vectors, gamma) > max(criterion(vectors, gamma * step), criterion(vectors, gamma / step))
    wider = [criterion(vectors, gamma / step**k) for k in range(20)]
    assert wider == sorted(wider, reverse=True)  # the first maximum from the side of wide kernels


def test_near_duplicates_do_not_make_the_kernel_narrow():
    vectors = np.random.default_rng(0).normal(size=(200, 20))
    twins = np.concatenate([vectors, vectors[:2] + 1e-3])
    gamma = evangelista_gamma(twins)
    assert criterion(twins, 100 * gamma) > criterion(twins, gamma)  # the highest maximum is that of the twins
    assert 0.5 < gamma / evangelista_gamma(vectors) < 2


def test_gamma_follows_the_scale_of_the_vectors():
    vectors = np.random.default_rng(0).normal(size=(50, 4))
    assert evangelista_gamma(vectors * 10) == pytest.approx(evangelista_gamma(vectors) / 100)


def test_gamma_of_many_images_comes_from_a_part_of_them_drawn_by_the_seed():
    images, _ = digits()
    unit = to_unit_range(images)

    def score(seed):
        method = OCSVM(Params(pca=20, pairs_from=50))
        return method.score(method.fit(Known(unit, seed)), unit[:9], None)["score"]

    assert torch.equal(score(0), score(0))
    assert not torch.allclose(score(0), score(1), rtol=1e-3)


def test_images_that_are_mostly_equal_are_a_numerical_failure():
    with pytest.raises(NumericalFailure, match="most training images are identical"):
        evangelista_gamma(np.concatenate([np.zeros((20, 4)), np.ones((1, 4))]))


@pytest.mark.parametrize("gamma", ["scale", 0.01])
def test_scores_are_those_of_scikit_learn_on_principal_components(gamma):
    images, labels = digits()
    normal, unseen = to_unit_range(images[labels == 4]), to_unit_range(images[::20])
    method = OCSVM(Params(pca=20, gamma=gamma))
    found = method.score(method.fit(Known(normal, seed=0)), unseen, None)["score"]
    train, test = (part.flatten(1).double().numpy() for part in (normal, unseen))
    mean = train.mean(axis=0)
    directions = np.linalg.svd(train - mean, full_matrices=False)[2][:20].T
    machine = OneClassSVM(nu=0.1, gamma=gamma).fit((train - mean) @ directions)
    # The solver stops at a tolerance of 1e-3; rounding or a flipped direction may end it elsewhere within.
    np.testing.assert_allclose(found, -machine.decision_function((test - mean) @ directions), atol=1e-3)


def nystroem(landmarks, seed=0):
    """Scores of digits by the exact machine and by one on landmarks, and which of them are anomalous."""
    images, labels = digits()
    normal, unseen = to_unit_range(images[labels != 8][::2]), to_unit_range(images[1::2])
    methods = OCSVM(Params()), OCSVM(Params(solver="nystroem", landmarks=landmarks))
    known = Known(normal, seed)
    exact, approximate = (method.score(method.fit(known), unseen, None)["score"] for method in methods)
    return exact, approximate, labels[1::2] == 8


def test_on_every_image_as_a_landmark_the_linear_machine_ranks_as_the_exact_one():
    exact, approximate, anomalous = nystroem(landmarks=1000)  # more than the 450 images there are
    # The kernel is exact here; what is left is where gradient descent stops.
    assert spearmanr(exact, approximate).statistic > 0.98
    assert roc_auc_score(anomalous, approximate) == pytest.approx(roc_auc_score(anomalous, exact), abs=0.02)


def test_the_more_landmarks_the_closer_to_the_exact_machine():
    found = [spearmanr(*nystroem(landmarks)[:2]).statistic for landmarks in (10, 50, 200, 450)]
    assert found == sorted(found)


def test_landmarks_are_drawn_by_the_seed():
    assert torch.equal(nystroem(50)[1], nystroem(50)[1])
    # Another order of gradient descent alone leaves a correlation of 0.94.
    assert spearmanr(nystroem(50)[1], nystroem(50, seed=1)[1]).statistic < 0.85


def test_the_place_of_an_image_in_its_block_does_not_matter():
    images, _ = digits()
    method, unseen = OCSVM(Params(solver="nystroem", landmarks=300)), to_unit_range(images[1::2][:200])
    fitted = method.fit(Known(to_unit_range(images[::2]), seed=0))

    def score(images):
        return score_images(method, fitted, images, torch.arange(len(images)))["score"]

    order = torch.randperm(len(unseen), generator=torch.Generator().manual_seed(0))
    together = score(unseen)
    assert torch.equal(score(unseen[order]), together[order])
    assert torch.equal(score(unseen[77:90]), together[77:90])
