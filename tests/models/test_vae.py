"""The VAE's objective and its step against torch.distributions, and its logarithms where tanh saturates."""

import copy

import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from heldout import registry
from heldout.networks.gaussian import divergence_from_prior, moved
from heldout.networks.shape import ImageShape
from heldout.numerics import randomness
from heldout.numerics.pixels import to_unit_range
from tests.conftest import noise

IMAGE = ImageShape(1, 16)


def fresh(**params: object) -> nn.Module:
    params = registry.small("model", "vae") | params
    return registry.create("model", "vae", params, IMAGE, randomness.generator(0, "weights"))


def literal_log_likelihood(model: nn.Module, images: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    made = model.generator(z)
    if model.params.likelihood == "gaussian":
        return Independent(Normal(made, model.params.variance**0.5), 3).log_prob(images)
    grey = Bernoulli(probs=(made + 1) / 2, validate_args=False)  # grey values lie between its two outcomes
    return Independent(grey, 3, validate_args=False).log_prob((images + 1) / 2)


def test_the_divergence_is_that_of_two_gaussians():
    rng = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(5, 7, generator=rng), torch.randn(5, 7, generator=rng)
    posterior = Independent(Normal(mean, (log_variance / 2).exp()), 1)
    prior = Independent(Normal(torch.zeros(5, 7), torch.ones(5, 7)), 1)
    torch.testing.assert_close(divergence_from_prior(mean, log_variance), kl_divergence(posterior, prior))


def test_moved_noise_has_the_mean_and_the_variance():
    count = 20_000
    mean, log_variance = torch.tensor([[1.0, -2.0]]), torch.tensor([[0.5, -3.0]])
    z = moved(torch.randn(count, 2, generator=torch.Generator().manual_seed(0)), mean, log_variance)
    deviation = (log_variance.squeeze() / 2).exp()
    assert ((z.mean(0) - mean.squeeze()).abs() < 4 * deviation / count**0.5).all()
    assert ((z.std(0) - deviation).abs() < 4 * deviation / (2 * count) ** 0.5).all()


LIKELIHOODS = [{"likelihood": "bernoulli"}, {"likelihood": "gaussian", "variance": 0.2}]


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=lambda params: params["likelihood"])
def test_the_likelihood_is_summed_over_pixels(likelihood):
    model = fresh(**likelihood).eval()
    images, z = to_unit_range(noise(4, 1, 16)), torch.randn(4, 8, generator=torch.Generator().manual_seed(0)) * 20
    torch.testing.assert_close(
        model.log_likelihood(images, z), literal_log_likelihood(model, images, z), rtol=1e-5, atol=1e-4
    )


def test_the_bernoulli_likelihood_is_finite_and_exact_where_tanh_saturates():
    model = fresh(likelihood="bernoulli").eval()
    with torch.no_grad():
        model.generator.blocks[-2].weight.mul_(1e6)
    z = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    assert (model.generator(z).abs() == 1).any()
    images = to_unit_range(noise(4, 1, 16))
    found = model.log_likelihood(images, z)
    literal = copy.deepcopy(model).double()
    grey = (images.double() + 1) / 2
    logits = 2 * literal.generator.blocks[:-1](z.double())
    log = torch.nn.functional.logsigmoid
    expected = (grey * log(logits) + (1 - grey) * log(-logits)).flatten(1).sum(1)
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("likelihood", LIKELIHOODS, ids=lambda params: params["likelihood"])
def test_a_step_ascends_the_bound_with_one_draw_of_z(likelihood):
    model = fresh(batch=6, **likelihood)
    with torch.no_grad():
        model.inference.code.weight.mul_(10)  # so far from the prior that the divergence decides where weights move
    literal = copy.deepcopy(model)
    images = noise(20, 1, 16)
    model.start(images)
    found = model.step(randomness.batches(images, 6, randomness.generator(0, "b")), randomness.generator(0, "z"))

    adam = torch.optim.Adam(literal.parameters(), 1e-3, (0.5, 0.999))
    batch = randomness.batches(images, 6, randomness.generator(0, "b"))()
    heads = literal.inference(batch)
    mean, log_variance = heads[:, :8], heads[:, 8:]
    posterior = Independent(Normal(mean, log_variance.exp().sqrt()), 1)
    z = mean + log_variance.exp().sqrt() * torch.randn(6, 8, generator=randomness.generator(0, "z"))
    reconstruction = -literal_log_likelihood(literal, batch, z).mean()
    kl = kl_divergence(posterior, Independent(Normal(torch.zeros(6, 8), torch.ones(6, 8)), 1)).mean()
    adam.zero_grad(), (reconstruction + kl).backward(), adam.step()

    torch.testing.assert_close(found["reconstruction"], reconstruction.detach(), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(found["kl"], kl.detach(), rtol=1e-4, atol=1e-6)
    for (name, weight), expected in zip(model.named_parameters(), literal.parameters(), strict=True):
        # Adam's first step is the sign of the gradient: where that is near zero, rounding decides.
        assert (weight - expected).abs().median() < 1e-7, name


def test_the_autoencoder_decodes_the_mean_of_the_posterior():
    model = fresh().eval()
    images = to_unit_range(noise(3, 1, 16))
    mean, log_variance = model.posterior(images)
    assert torch.equal(model.encoder(images), mean) and mean.shape == log_variance.shape == (3, 8)
    assert torch.equal(model.autoencoder(images), model.generator(mean))
