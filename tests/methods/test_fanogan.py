"""f-AnoGAN's score against its formula, an image at a time."""

import pytest
import torch

from heldout import registry
from heldout.networks.shape import ImageShape
from heldout.numerics.pixels import to_unit_range
from tests.conftest import noise, trained


def test_the_score_is_the_papers_sum_of_two_mean_squares():
    model = trained("izi_encoder", ImageShape(1, 16)).eval().requires_grad_(False)
    images = to_unit_range(noise(5, 1, 16))
    found = registry.create("method", "fanogan", {"kappa": 0.3}).score(model, images, torch.arange(5))
    for i, x in enumerate(images):
        z = model.encoder(x[None])
        made = model.parent.generator(z)
        f = model.parent.discriminator.features
        residual = ((x - made) ** 2).sum() / x.numel()
        feature = ((f(x[None]) - f(made)) ** 2).sum() / f(made).numel()
        assert found["score"][i].item() == pytest.approx((residual + 0.3 * feature).item(), rel=1e-4)
        latent = ((z - model.encoder(made)) ** 2).sum() / z.numel()
        assert found["latent"][i].item() == pytest.approx(latent.item(), rel=1e-4)
