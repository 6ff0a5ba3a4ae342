"""WGAN against Algorithm 1 of its paper, written out with RMSProp by hand."""

import copy

import torch
from torch import Tensor

from heldout import registry
from heldout.networks.shape import ImageShape
from heldout.numerics import randomness
from heldout.numerics.pixels import to_unit_range
from tests.conftest import noise, trained

IMAGE = ImageShape(1, 16)


class LiteralRMSProp:
    """Tieleman and Hinton 2012, with PyTorch's decay of 0.99."""

    def __init__(self, weights: list[Tensor], rate: float) -> None:
        self.weights, self.rate, self.squares = weights, rate, [torch.zeros_like(weight) for weight in weights]

    def step(self, loss: Tensor) -> None:
        gradients = torch.autograd.grad(loss, self.weights)
        for weight, square, gradient in zip(self.weights, self.squares, gradients, strict=True):
            square.mul_(0.99).add_(0.01 * gradient**2)
            weight.data -= self.rate * gradient / (square.sqrt() + 1e-8)


def test_a_step_is_algorithm_1():
    params = registry.small("model", "wgan") | {"critic_steps": 3, "learning_rate": 1e-3, "batch": 6}
    model = registry.create("model", "wgan", params, IMAGE, randomness.generator(0, "weights"))
    literal = copy.deepcopy(model)
    images = noise(20, 1, 16)

    model.start(images)
    draw = randomness.batches(images, 6, randomness.generator(0, "batches"))
    rng = randomness.generator(0, "z")
    losses = [model.step(draw, rng) for _ in range(2)]

    draw = randomness.batches(images, 6, randomness.generator(0, "batches"))
    rng = randomness.generator(0, "z")
    f, g = literal.critic, literal.generator
    update_f = LiteralRMSProp(list(f.parameters()), 1e-3)
    update_g = LiteralRMSProp(list(g.parameters()), 1e-3)
    for _ in range(2):
        for _ in range(3):
            z = torch.randn(6, params["latent"], generator=rng)
            loss_f = -(f(draw()).mean() - f(g(z)).mean())  # ascend the paper's g_w
            update_f.step(loss_f)
            for weight in f.parameters():
                weight.data = weight.data.clamp(-0.01, 0.01)
        loss_g = -f(g(torch.randn(6, params["latent"], generator=rng))).mean()
        update_g.step(loss_g)

    torch.testing.assert_close(losses[-1]["critic"], loss_f.detach(), rtol=1e-4, atol=1e-7)
    torch.testing.assert_close(losses[-1]["generator"], loss_g.detach(), rtol=1e-4, atol=1e-7)
    for (name, weight), expected in zip(model.named_parameters(), literal.parameters(), strict=True):
        # RMSProp's first step is the sign of the gradient: where that is near zero, rounding decides.
        assert (weight - expected).abs().median() < 1e-7, name


def test_the_critic_is_clipped_and_has_no_batch_normalisation():
    model = trained("wgan", IMAGE, clip=0.005)
    assert all(weight.abs().max() <= 0.005 for weight in model.critic.parameters())
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in model.critic.modules())


def test_the_discriminator_score_is_minus_the_critic():
    model = trained("wgan", IMAGE).eval()
    images = to_unit_range(noise(3, 1, 16))
    score = registry.create("method", "discriminator", {}).score(model, images, torch.arange(3))["score"]
    torch.testing.assert_close(score, -model.critic(images), rtol=1e-4, atol=1e-6)
