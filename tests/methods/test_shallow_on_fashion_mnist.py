"""The shallow detectors on Fashion-MNIST against a script that calls scikit-learn by itself, literally."""

import gzip

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import KFold
from sklearn.neighbors import KernelDensity
from sklearn.svm import OneClassSVM

from heldout import registry
from heldout.methods import Known
from heldout.numerics.pixels import to_unit_range
from heldout.numerics.scoring_steps import score_images

pytestmark = pytest.mark.slow


def idx(path, header):
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header)


def drawn(folder, held_out):
    """1,000 training images of a class, 1,000 test images of all, uint8 28x28; whether a test image is anomalous."""
    rng = np.random.default_rng(held_out)
    images = idx(folder / "train-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
    labels = idx(folder / "train-labels-idx1-ubyte.gz", 8)
    train = images[rng.choice(np.flatnonzero(labels == held_out), 1000, replace=False)]
    chosen = rng.choice(10_000, 1000, replace=False)
    test = idx(folder / "t10k-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)[chosen]
    return train, test, idx(folder / "t10k-labels-idx1-ubyte.gz", 8)[chosen] != held_out


def by_scikit_learn(train, test):
    """Each detector's scores, from pixels in [-1, 1]."""
    train, test = train.reshape(len(train), -1) / 127.5 - 1, test.reshape(len(test), -1) / 127.5 - 1
    scores = {"isolation_forest": -IsolationForest(random_state=0).fit(train).score_samples(test)}

    whole = PCA(svd_solver="full").fit(train)
    kept = np.cumsum(whole.explained_variance_ratio_)
    dimensions = next((d for d in (20, 40, 60, 80) if kept[d - 1] >= 0.95), 100)
    train, test = whole.transform(train)[:, :dimensions], whole.transform(test)[:, :dimensions]

    def density(bandwidth, vectors):
        """One leaf: on a tree of many, the sum loses up to 141 in rounding here, another amount on each machine."""
        return KernelDensity(bandwidth=bandwidth, leaf_size=len(vectors)).fit(vectors)

    folds = list(KFold(10, shuffle=True, random_state=0).split(train))
    likelihood = {
        h: sum(density(h, train[kept]).score(train[out]) for kept, out in folds) for h in 2.0 ** np.arange(0, 4.5, 0.5)
    }
    best = max(likelihood, key=likelihood.get)
    scores["kde"] = -density(best, train).score_samples(test)

    mixtures = [GaussianMixture(k, random_state=0, max_iter=1000).fit(train) for k in range(2, 21)]
    scores["gmm"] = -min(mixtures, key=lambda mixture: mixture.bic(train)).score_samples(test)

    machine = OneClassSVM(nu=0.1, gamma=first_maximum(squared_distances(train))).fit(train)
    scores["ocsvm"] = -machine.decision_function(test)
    return scores


def squared_distances(vectors):
    """Squared distances of all pairs of two different images."""
    squares = (vectors**2).sum(axis=1)
    return (squares[:, None] + squares - 2 * vectors @ vectors.T)[~np.eye(len(vectors), dtype=bool)].clip(0)


def first_maximum(squared):
    """The first maximum of variance over mean of exp(-gamma d^2), from small gammas on, in steps of a tenth."""
    gamma, last = 1e-6, 0.0
    while True:
        kernel = np.exp(-gamma * squared)
        spread = kernel.var() / kernel.mean()
        if spread < last:
            return gamma
        gamma, last = gamma * 1.1, spread


@pytest.mark.parametrize("held_out", [0, 4, 8])
def test_auroc_is_that_of_scikit_learn_called_directly(mirror, held_out):
    if not (mirror / "fashion_mnist").is_dir():
        pytest.skip("the mirror has no fashion_mnist")
    train, test, anomalous = drawn(mirror / "fashion_mnist", held_out)
    for name, expected in by_scikit_learn(train, test).items():
        method = registry.create("method", name, {})
        fitted = method.fit(Known(to_unit_range(torch.from_numpy(train)[:, None]), seed=0))
        unseen = to_unit_range(torch.from_numpy(test)[:, None])
        found = score_images(method, fitted, unseen, torch.arange(len(test)))["score"]
        assert roc_auc_score(anomalous, found) == pytest.approx(roc_auc_score(anomalous, expected), abs=0.01), name
