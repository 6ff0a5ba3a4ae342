"""The original GAN: its losses against the paper's logarithms, its networks against DCGAN's guidelines."""

import copy

import pytest
import torch
from torch import nn

from heldout import registry
from heldout.networks import dcgan
from heldout.networks.shape import ImageShape
from heldout.numerics import randomness
from tests.conftest import noise

IMAGE = ImageShape(1, 16)


def fresh(**params: object) -> nn.Module:
    params = registry.small("model", "dcgan") | params
    return registry.create("model", "dcgan", params, IMAGE, randomness.generator(0, "weights"))


def test_the_losses_are_the_papers_logarithms():
    model = fresh()
    real, fake = torch.rand(6, 1, 16, 16) * 2 - 1, torch.rand(6, 1, 16, 16) * 2 - 1
    d_real, d_fake = model.discriminator(real).sigmoid(), model.discriminator(fake).sigmoid()
    value = d_real.log().mean() + (1 - d_fake).log().mean()  # what D maximises
    torch.testing.assert_close(model.discriminator_loss(real, fake), -value, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(model.generator_loss(fake), -d_fake.log().mean(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("generator_z", [None, "fresh", "reused"])  # None: the default, Algorithm 1
def test_a_step_updates_the_discriminator_first_and_then_the_generator_against_it(generator_z):
    rate = 0.01  # so large that the loss against the updated discriminator is far from that against the old one
    model = fresh(batch=6, learning_rate=rate, **({"generator_z": generator_z} if generator_z else {}))
    literal = copy.deepcopy(model)
    images = noise(20, 1, 16)
    model.start(images)
    found = model.step(randomness.batches(images, 6, randomness.generator(0, "b")), randomness.generator(0, "z"))

    settings = {"lr": rate, "betas": (0.5, 0.999)}
    adam_d = torch.optim.Adam(literal.discriminator.parameters(), **settings)
    adam_g = torch.optim.Adam(literal.generator.parameters(), **settings)
    real = randomness.batches(images, 6, randomness.generator(0, "b"))()
    rng = randomness.generator(0, "z")
    fake = literal.generator(torch.randn(6, literal.params.latent, generator=rng))
    log = torch.nn.functional.logsigmoid
    loss_d = -(log(literal.discriminator(real)).mean() + log(-literal.discriminator(fake.detach())).mean())
    before = copy.deepcopy(literal.discriminator)
    adam_d.zero_grad(), loss_d.backward(), adam_d.step()
    if generator_z != "reused":
        fake = literal.generator(torch.randn(6, literal.params.latent, generator=rng))
    loss_g = -log(literal.discriminator(fake)).mean()
    assert abs(loss_g + log(before(fake)).mean()) > 0.05 * loss_g  # so the order of the two updates shows
    torch.testing.assert_close(found["discriminator"], loss_d.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found["generator"], loss_g.detach(), rtol=1e-3, atol=1e-6)
    adam_g.zero_grad(), loss_g.backward(), adam_g.step()
    for (name, weight), expected in zip(model.named_parameters(), literal.parameters(), strict=True):
        # Adam's first step is the sign of the gradient: where that is near zero, rounding decides.
        assert (weight - expected).abs().median() < 1e-7, name


@pytest.mark.parametrize("side", [16, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_networks_fit_any_power_of_two_in_grey_and_colour(side, channels):
    image = ImageShape(channels, side)
    generator, discriminator = dcgan.Generator(10, 4, image), dcgan.Discriminator(4, image, batch_norm=True)
    made = generator(torch.randn(2, 10))
    assert made.shape == (2, channels, side, side)
    assert discriminator.features(made).shape == (2, 4 * side // 8, 4, 4)
    assert discriminator(made).shape == (2,)


def test_batch_normalisation_is_everywhere_but_next_to_the_image():
    generator = dcgan.Generator(10, 4, ImageShape(1, 32))
    discriminator = dcgan.Discriminator(4, ImageShape(1, 32), batch_norm=True)
    kinds = [type(module).__name__ for module in generator.blocks]
    assert kinds == ["Linear", "Unflatten", *["BatchNorm2d", "ReLU", "ConvTranspose2d"] * 3, "Tanh"]
    kinds = [type(module).__name__ for module in discriminator.features]
    assert kinds == ["Conv2d", "LeakyReLU", *["Conv2d", "BatchNorm2d", "LeakyReLU"] * 2]


def test_the_size_at_width_64_is_that_of_the_published_generators():
    generator = dcgan.Generator(256, 64, ImageShape(1, 32))
    # 256x4096 + 256x128x16 + 128x64x16 + 64x16, and two per normalised channel
    assert sum(weight.numel() for weight in generator.parameters()) == 1_705_856


def test_first_weights_are_normal_with_deviation_002():
    generator = dcgan.initialise(dcgan.Generator(256, 16, ImageShape(1, 32)), randomness.generator(0, "w"))
    weights = generator.blocks[0].weight.flatten()
    assert abs(weights.std() - 0.02) < 4 * 0.02 / (2 * len(weights)) ** 0.5  # standard error of a deviation
    assert abs(weights.mean()) < 4 * 0.02 / len(weights) ** 0.5
