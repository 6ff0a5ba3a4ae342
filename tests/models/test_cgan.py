"""The conditional GAN: its losses and its step literally, and that the class matters to both networks."""

import copy
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import logsigmoid, one_hot

from heldout import registry
from heldout.networks.shape import ImageShape
from heldout.numerics import randomness, training_steps
from heldout.numerics.pixels import to_unit_range
from tests.conftest import noise, train_spec, trained

IMAGE = ImageShape(1, 16, classes=3)


def fresh(**params: object) -> torch.nn.Module:
    params = registry.small("model", "cgan") | params
    return registry.create("model", "cgan", params, IMAGE, randomness.generator(0, "weights"))


@pytest.mark.parametrize("generator_z", [None, "fresh", "reused"])  # None: the default, z drawn anew
def test_a_step_is_dcgans_with_the_class_beside_z_and_beside_the_image(generator_z):
    model = fresh(batch=6, learning_rate=0.01, **({"generator_z": generator_z} if generator_z else {}))
    literal = copy.deepcopy(model)
    images, classes = noise(20, 1, 16), torch.arange(20) % 3
    model.start(images)
    draw = randomness.batches(images, 6, randomness.generator(0, "b"), classes)
    found = model.step(draw, randomness.generator(0, "z"))

    generator, discriminator = literal.conditional_generator.network, literal.discriminator.network
    settings = {"lr": 0.01, "betas": (0.5, 0.999)}
    adam_d = torch.optim.Adam(discriminator.parameters(), **settings)
    adam_g = torch.optim.Adam(generator.parameters(), **settings)
    real, y = randomness.batches(images, 6, randomness.generator(0, "b"), classes)()
    rng = randomness.generator(0, "z")
    z = torch.randn(6, model.params.latent, generator=rng)
    maps = torch.stack([torch.stack([torch.full((16, 16), float(c == label)) for c in range(3)]) for label in y])
    fake = generator(torch.cat([z, one_hot(y, 3).float()], 1))
    d = lambda images: discriminator(torch.cat([images, maps], 1))  # noqa: E731
    loss_d = -(logsigmoid(d(real)).mean() + logsigmoid(-d(fake.detach())).mean())
    adam_d.zero_grad(), loss_d.backward(), adam_d.step()
    if generator_z != "reused":
        z = torch.randn(6, model.params.latent, generator=rng)
        fake = generator(torch.cat([z, one_hot(y, 3).float()], 1))
    loss_g = -logsigmoid(d(fake)).mean()
    adam_g.zero_grad(), loss_g.backward(), adam_g.step()
    torch.testing.assert_close(found["discriminator"], loss_d.detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found["generator"], loss_g.detach(), rtol=1e-3, atol=1e-6)
    for (name, weight), expected in zip(model.named_parameters(), literal.parameters(), strict=True):
        # Adam's first step is the sign of the gradient: where that is near zero, rounding decides.
        assert (weight - expected).abs().median() < 1e-7, name


def test_images_come_with_the_class_that_the_split_gives_them():
    images = torch.arange(20, dtype=torch.uint8)[:, None, None, None].expand(20, 1, 16, 16)
    draw = randomness.batches(images, 7, randomness.generator(0, "b"), torch.arange(20) % 3)
    for _ in range(4):
        batch, classes = draw()
        number = ((batch[:, 0, 0, 0] + 1) * 127.5).round().long()
        assert torch.equal(classes, number % 3)


def test_without_a_class_the_discriminator_takes_the_one_that_suits_best():
    model = trained("cgan", ImageShape(1, 16)).eval()
    images = to_unit_range(noise(5, 1, 16))
    of_each = torch.stack([model.discriminator(images, torch.full((5,), c)) for c in range(3)])
    torch.testing.assert_close(model.discriminator(images), of_each.max(0).values, rtol=0, atol=0)
    features = model.discriminator.features(images)
    torch.testing.assert_close(model.discriminator.network.decision(features).flatten(), of_each.max(0).values)


def test_two_classes_are_drawn_apart_after_training():
    """Black images of class 0 and white ones of class 1: the class alone must tell the generator which to draw."""
    images = torch.cat([torch.zeros(32, 1, 16, 16), torch.full((32, 1, 16, 16), 255)]).to(torch.uint8)
    spec = replace(train_spec("cgan", steps=250, batch=16, learning_rate=1e-3, width=8), normal_classes=2)
    model = training_steps.build(spec, ImageShape(1, 16))
    for _ in training_steps.Training(lambda: model, images, spec, torch.arange(64) // 32):
        pass
    z = torch.randn(50, model.params.latent, generator=torch.Generator().manual_seed(0))
    made = [model.eval().conditional_generator(z, torch.full((50,), number)).mean() for number in (0, 1)]
    assert made[0] < -0.5 and made[1] > 0.5
