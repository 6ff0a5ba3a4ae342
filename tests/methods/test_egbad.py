"""EGBAD's score against its formula, one image after another."""

import math

import numpy as np
import pytest
import torch

from heldout import registry
from heldout.networks.shape import ImageShape
from heldout.numerics.pixels import to_unit_range
from tests.conftest import noise, trained

IMAGE = ImageShape(1, 16)


def model():
    return trained("bigan", IMAGE, ema=0, learning_rate=1e-3).eval().requires_grad_(False)


def scored(images: torch.Tensor, **params: object) -> dict[str, np.ndarray]:
    method = registry.create("method", "egbad", {"block": 4} | params)
    return {key: values.numpy() for key, values in method.score(model(), images, torch.arange(len(images))).items()}


@pytest.mark.parametrize("weight", [0.1, 0.7])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_feature_matching_is_the_papers_weighted_sum(weight, reduction):
    images, read = to_unit_range(noise(6, 1, 16, seed=1)), model()
    found = scored(images, weight=weight, reduction=reduction)
    for n, x in enumerate(images):
        z = read.encoder(x[None])
        made = read.generator(z)
        of_x, of_made = (read.joint_discriminator.features(image, z) for image in (x[None], made))
        residual, feature = torch.norm(x[None] - made, p=1), torch.norm(of_x - of_made, p=1)
        if reduction == "mean":
            residual, feature = residual / (16 * 16), feature / (16 * read.params.width)
        assert found["residual"][n] == pytest.approx(residual.item(), rel=1e-4)
        assert found["discrimination"][n] == pytest.approx(feature.item(), rel=1e-4)
        alpha = 1 - weight
        assert found["score"][n] == pytest.approx(float(alpha * residual + (1 - alpha) * feature), rel=1e-4)


@pytest.mark.parametrize("pair", ["reconstruction", "image"])
def test_cross_entropy_is_that_of_the_named_pair_being_taken_for_an_encoded_one(pair):
    images, read = to_unit_range(noise(6, 1, 16, seed=1)), model()
    found = scored(images, discrimination="cross_entropy", pair=pair)
    for n, x in enumerate(images):
        z = read.encoder(x[None])
        logit = read.joint_discriminator(read.generator(z) if pair == "reconstruction" else x[None], z).item()
        assert found["discrimination"][n] == pytest.approx(-math.log(1 / (1 + math.exp(-logit))), rel=1e-4)
    other = scored(
        images, discrimination="cross_entropy", pair="image" if pair == "reconstruction" else "reconstruction"
    )
    assert (found["discrimination"] != other["discrimination"]).all()
