"""f-AnoGAN's encoder: its three objectives literally, and a GAN below it that stands still."""

import copy

import pytest
import torch

from heldout.networks.shape import ImageShape
from heldout.numerics import randomness
from tests.conftest import fresh, noise

IMAGE = ImageShape(1, 16)


@pytest.mark.parametrize("objective", ["izi", "izi_f", "ziz"])
@pytest.mark.parametrize("stated", [{}, {"decay": 0.99, "epsilon": 1e-3, "bounded": False}], ids=["defaults", "stated"])
def test_a_step_lowers_the_papers_objective_by_rmsprop(objective, stated):
    model, _ = fresh("izi_encoder", IMAGE, objective=objective, kappa=0.7, learning_rate=1e-3, batch=6, **stated)
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
    weights = dict(encoder.named_parameters())
    gradients = dict(zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True))
    decay, epsilon = stated.get("decay", 0.9), stated.get("epsilon", 1e-10)  # TensorFlow 1's
    torch.testing.assert_close(found[objective], loss.detach(), rtol=1e-5, atol=1e-7)
    for name, weight in model.encoder.named_parameters():
        root = ((1 - decay) * gradients[name] ** 2) ** 0.5  # of the running mean, which begins at 0
        expected = weights[name] - 1e-3 * gradients[name] / (root + epsilon)
        # RMSProp's first step is the sign of the gradient: where that is near zero, rounding decides.
        assert (weight - expected).abs().median() < 1e-7, name


def test_tanh_keeps_z_in_reach_of_1_unless_the_experiment_says_otherwise():
    far = torch.full((2, 1, 16, 16), 50_000.0)
    for stated, bounded in [({}, True), ({"bounded": True}, True), ({"bounded": False}, False)]:
        model, _ = fresh("izi_encoder", IMAGE, **stated)
        assert (model.eval().encoder(far).abs().max() <= 1) == bounded  # in training, batches are normalised


def test_the_parent_is_in_eval_mode_while_the_encoder_trains():
    model, _ = fresh("izi_encoder", IMAGE)
    model.train()
    assert model.encoder.training and not any(module.training for module in model.parent.modules())
