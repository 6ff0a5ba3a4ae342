"""GANomaly's scores against the formulas, with SciPy's distances."""

import numpy as np
import pytest
import torch
from scipy.spatial import distance

from heldout import registry
from heldout.networks.shape import ImageShape
from heldout.numerics.pixels import to_unit_range
from tests.conftest import noise, trained

IMAGE = ImageShape(1, 16)
METRICS = {
    "mean_squared": lambda a, b: distance.sqeuclidean(a, b) / len(a),
    "l1": distance.cityblock,
    "l2": distance.euclidean,
}


def scored(images: torch.Tensor, **params: object) -> dict[str, np.ndarray]:
    model = trained("ganomaly", IMAGE).eval().requires_grad_(False)
    method = registry.create("method", "ganomaly", {"block": 4} | params)
    return {key: values.numpy() for key, values in method.score(model, images, torch.arange(len(images))).items()}


def codes(images: torch.Tensor) -> tuple[np.ndarray, ...]:
    model = trained("ganomaly", IMAGE).eval().requires_grad_(False)
    z = model.encoder(images)
    made = model.decoder(z)
    return z.double().numpy(), model.second_encoder(made).double().numpy(), made.double().numpy()


@pytest.mark.parametrize("name", METRICS)
def test_the_score_is_the_distance_of_the_two_codes(name):
    images = to_unit_range(noise(6, 1, 16, seed=1))
    z, z_made, made = codes(images)
    wanted = [METRICS[name](a, b) for a, b in zip(z, z_made, strict=True)]
    found = scored(images, distance=name)
    np.testing.assert_allclose(found["score"], wanted, rtol=1e-4)
    np.testing.assert_array_equal(found["score"], found["latent"])
    pixels = [distance.cityblock(a.ravel(), b.ravel()) for a, b in zip(images.double().numpy(), made, strict=True)]
    np.testing.assert_allclose(found["contextual"], pixels, rtol=1e-4)
    contextual = scored(images, distance=name, error="contextual")
    np.testing.assert_array_equal(contextual["score"], found["contextual"])


@pytest.mark.parametrize("name", METRICS)
def test_the_scaled_score_of_the_training_images_goes_from_0_to_1(name):
    training = scored(to_unit_range(noise(20, 1, 16)), distance=name)  # the images that `trained` trains on
    assert training["scaled"].min() == pytest.approx(0, abs=1e-3)
    assert training["scaled"].max() == pytest.approx(1, abs=1e-3)
    z, z_made, _ = codes(to_unit_range(noise(20, 1, 16)))
    known = np.array([METRICS[name](a, b) for a, b in zip(z, z_made, strict=True)])
    other = scored(to_unit_range(noise(6, 1, 16, seed=1)), distance=name)
    wanted = (other["score"] - known.min()) / (known.max() - known.min())
    np.testing.assert_allclose(other["scaled"], wanted, rtol=1e-3, atol=1e-3)
