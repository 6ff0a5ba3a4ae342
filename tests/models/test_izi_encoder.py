"""f-AnoGAN's encoder: its three objectives literally, and a GAN below it that stands still."""

import copy

import pytest
import torch

from heldout.networks.shape import ImageShape
from heldout.numerics import randomness
from tests.conftest import fresh, noise

IMAGE = ImageShape(1, 16)


@pytest.mark.parametrize("objective", ["izi", "izi_f", "ziz"])
def test_a_step_lowers_the_papers_objective_by_rmsprop(objective):
    model, _ = fresh("izi_encoder", IMAGE, objective=objective, kappa=0.7, learning_rate=1e-3, batch=6)
    literal = copy.deepcopy(model)
    images = noise(20, 1, 16)
    model.train()
    model.start(images)
    found = model.step(randomness.batches(images, 6, randomness.generator(0, "b")), randomness.generator(0, "z"))

    encoder, gan = literal.encoder.train(), literal.parent.eval()
    generator, f = gan.generator, gan.discriminator.features
    x = randomness.batches(images, 6, randomness.generator(0, "b"))()
    z = torch.randn(6, generator.latent, generator=randomness.generator(0, "z"))
    if objective == "ziz":
        loss = ((z - encoder(generator(z))) ** 2).mean()
    else:
        made = generator(encoder(x))
        loss = ((x - made) ** 2).mean()
        if objective == "izi_f":
            loss = loss + 0.7 * ((f(x) - f(made)) ** 2).mean()
    rmsprop = torch.optim.RMSprop(encoder.parameters(), 1e-3)
    rmsprop.zero_grad(), loss.backward(), rmsprop.step()
    torch.testing.assert_close(found[objective], loss.detach(), rtol=1e-5, atol=1e-7)
    for (name, weight), expected in zip(model.encoder.named_parameters(), encoder.parameters(), strict=True):
        # RMSProp's first step is the sign of the gradient: where that is near zero, rounding decides.
        assert (weight - expected).abs().median() < 1e-7, name


def test_tanh_keeps_z_in_reach_of_1_where_it_is_asked_for():
    far = torch.full((2, 1, 16, 16), 50_000.0)
    for bounded in (False, True):
        model, _ = fresh("izi_encoder", IMAGE, bounded=bounded)
        assert (model.eval().encoder(far).abs().max() <= 1) == bounded  # in training, batches are normalised


def test_the_parent_is_in_eval_mode_while_the_encoder_trains():
    model, _ = fresh("izi_encoder", IMAGE)
    model.train()
    assert model.encoder.training and not any(module.training for module in model.parent.modules())
