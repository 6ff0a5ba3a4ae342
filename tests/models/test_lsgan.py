"""LSGAN against eq. (9) of its paper."""

import copy

import pytest
import torch
from torch import nn

from heldout import registry
from heldout.networks.shape import ImageShape
from heldout.numerics import randomness
from tests.conftest import noise

IMAGE = ImageShape(1, 16)


def fresh(**params: object) -> nn.Module:
    params = registry.small("model", "lsgan") | params
    return registry.create("model", "lsgan", params, IMAGE, randomness.generator(0, "weights"))


def test_the_losses_of_known_outputs_are_those_of_the_paper():
    model = fresh()
    model.discriminator = nn.Flatten(0)  # D(x) = x, one number each
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 2.0])
    assert model.discriminator_loss(real, fake) == (0 + 4) / 2 / 2 + (0 + 4) / 2 / 2
    assert model.generator_loss(fake) == (1 + 1) / 2 / 2
    assert model.discriminator_loss(torch.ones(2), torch.zeros(2)) == 0  # labels b = 1 and a = 0
    assert model.generator_loss(torch.ones(2)) == 0  # c = 1


@pytest.mark.parametrize("generator_z", [None, "fresh", "reused"])  # None: the default, z drawn anew
def test_a_step_updates_the_discriminator_first_and_then_the_generator_against_it(generator_z):
    rate = 0.01  # so large that the loss against the updated discriminator is far from that against the old one
    model = fresh(batch=6, learning_rate=rate, **({"generator_z": generator_z} if generator_z else {}))
    literal = copy.deepcopy(model)
    images = noise(20, 1, 16)
    model.start(images)
    found = model.step(randomness.batches(images, 6, randomness.generator(0, "b")), randomness.generator(0, "z"))

    d, g = literal.discriminator, literal.generator
    adam_d, adam_g = (torch.optim.Adam(network.parameters(), lr=rate, betas=(0.5, 0.999)) for network in (d, g))
    real = randomness.batches(images, 6, randomness.generator(0, "b"))()
    rng = randomness.generator(0, "z")
    fake = g(torch.randn(6, literal.params.latent, generator=rng))
    loss_d = 0.5 * ((d(real) - 1) ** 2).mean() + 0.5 * (d(fake.detach()) ** 2).mean()
    before = copy.deepcopy(d)
    adam_d.zero_grad(), loss_d.backward(), adam_d.step()
    if generator_z != "reused":
        fake = g(torch.randn(6, literal.params.latent, generator=rng))
    loss_g = 0.5 * ((d(fake) - 1) ** 2).mean()
    assert abs(loss_g - 0.5 * ((before(fake) - 1) ** 2).mean()) > 0.05 * loss_g  # so the order of the two updates shows
    torch.testing.assert_close(found["discriminator"], loss_d.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found["generator"], loss_g.detach(), rtol=1e-3, atol=1e-6)
    adam_g.zero_grad(), loss_g.backward(), adam_g.step()
    for (name, weight), expected in zip(model.named_parameters(), literal.parameters(), strict=True):
        # Adam's first step is the sign of the gradient: where that is near zero, rounding decides.
        assert (weight - expected).abs().median() < 1e-7, name
