"""WGAN-GP against Algorithm 1 of its paper, written out image by image, and its penalty against closed forms."""

import copy
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from heldout import registry
from heldout.networks import dcgan
from heldout.networks.shape import ImageShape
from heldout.numerics import randomness
from tests.conftest import noise

IMAGE = ImageShape(1, 16)


def fresh(**params: object) -> nn.Module:
    params = registry.small("model", "wgan_gp") | params
    return registry.create("model", "wgan_gp", params, IMAGE, randomness.generator(0, "weights"))


def test_a_step_is_algorithm_1():
    settings = {"learning_rate": 1e-3, "beta1": 0.3, "beta2": 0.9, "critic_steps": 3, "batch": 6, "penalty": 7.0}
    model = fresh(**settings)
    assert model.critic.features[2].weight.is_contiguous(memory_format=torch.channels_last)
    literal = copy.deepcopy(model)
    images = noise(20, 1, 16)
    model.start(images)
    draw, rng = randomness.batches(images, 6, randomness.generator(0, "batches")), randomness.generator(0, "z")
    losses = [model.step(draw, rng) for _ in range(2)]

    draw, rng = randomness.batches(images, 6, randomness.generator(0, "batches")), randomness.generator(0, "z")
    f, g = literal.critic, literal.generator
    adam_f, adam_g = (torch.optim.Adam(network.parameters(), lr=1e-3, betas=(0.3, 0.9)) for network in (f, g))
    for _ in range(2):
        for _ in range(3):
            made = g(torch.randn(6, literal.params.latent, generator=rng)).detach()
            e = torch.rand(6, 1, 1, 1, generator=rng)
            loss_f = torch.zeros(())
            for x, x_made, share in zip(draw(), made, e, strict=True):
                x_hat = (share * x + (1 - share) * x_made).requires_grad_()
                (gradient,) = torch.autograd.grad(f(x_hat[None]).squeeze(), x_hat, create_graph=True)
                slope = gradient.square().sum().sqrt()
                loss_f = loss_f + (f(x_made[None]) - f(x[None]) + 7.0 * (slope - 1) ** 2).squeeze() / 6
            adam_f.zero_grad(), loss_f.backward(), adam_f.step()
        loss_g = -f(g(torch.randn(6, literal.params.latent, generator=rng))).mean()
        adam_g.zero_grad(), loss_g.backward(), adam_g.step()

    torch.testing.assert_close(losses[-1]["critic"], loss_f.detach(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(losses[-1]["generator"], loss_g.detach(), rtol=1e-3, atol=1e-6)
    for (name, weight), expected in zip(model.named_parameters(), literal.parameters(), strict=True):
        if name == "critic.decision.bias":
            continue  # it cancels in f(G(z)) - f(x): its gradient is rounding alone, whose sign Adam follows
        # Adam's first step is the sign of the gradient: where that is near zero, rounding decides.
        assert (weight - expected).abs().median() < 1e-7, name


class Linear(nn.Module):
    def __init__(self, slope: Tensor) -> None:
        super().__init__()
        self.slope = slope

    def forward(self, images: Tensor) -> Tensor:
        return (images * self.slope).flatten(1).sum(1)


@pytest.mark.parametrize("norm", [0.25, 1.0, 3.0])
def test_the_penalty_of_a_linear_critic_is_that_of_its_slope_on_both_sides_of_1(norm):
    model = fresh()
    model.critic = Linear(torch.full((1, 16, 16), norm / 16))
    real, fake = torch.rand(5, 1, 16, 16), torch.rand(5, 1, 16, 16)
    penalty = model.gradient_penalty(real, fake, torch.rand(5, 1, 1, 1))
    torch.testing.assert_close(penalty, torch.tensor((norm - 1) ** 2))


class HalfSquare(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.square().flatten(1).sum(1) / 2  # its gradient is the image


def test_the_penalty_is_taken_between_each_real_image_and_its_made_one():
    model = fresh()
    model.critic = HalfSquare()
    e1, e2 = torch.eye(2)[:, None, None, :]  # two orthogonal images
    real, fake = torch.stack([3 * e1, 3 * e1]), torch.stack([4 * e2, 4 * e2])
    e = torch.tensor([1.0, 0.5]).reshape(2, 1, 1, 1)
    # At e = 1 the real image, with norm 3; half-way (1.5, 2), with norm 2.5.
    torch.testing.assert_close(model.gradient_penalty(real, fake, e), torch.tensor((2.0**2 + 1.5**2) / 2))


def test_a_critic_with_batch_normalisation_is_refused(monkeypatch):
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fresh().critic.modules())
    with_batch_norm = partial(dcgan.Discriminator, 4, IMAGE, batch_norm=True)
    monkeypatch.setattr(dcgan, "Discriminator", lambda *_, **__: with_batch_norm())
    with pytest.raises(AssertionError, match="batch normalisation"):
        fresh()
