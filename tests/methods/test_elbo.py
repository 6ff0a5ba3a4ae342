"""The ELBO against a model whose likelihood is known exactly: probabilistic PCA with orthogonal directions."""

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from heldout import registry
from heldout.numerics import randomness

LATENT, SIDE, VARIANCE = 3, 4, 0.3
PIXELS = SIDE**2


class LinearGaussian(nn.Module):
    """x = W z + noise, with W's columns orthogonal: then the posterior is a diagonal Gaussian (Bishop, 12.2.1).

    `shift` and `widen` make q another Gaussian than the posterior.
    """

    def __init__(self, shift: float = 0.0, widen: float = 0.0) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(0)
        columns = torch.linalg.qr(torch.randn(PIXELS, LATENT, generator=rng)).Q
        self.directions = columns * torch.tensor([2.0, 1.0, 0.5])
        self.shift, self.widen, self.seen = shift, widen, []

    def exact_posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        precision = 1 + self.directions.square().sum(0) / VARIANCE
        mean = images.flatten(1) @ self.directions / VARIANCE / precision
        return mean, -precision.log().expand_as(mean)

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_variance = self.exact_posterior(images)
        return mean + self.shift, log_variance + self.widen

    def log_likelihood(self, images: Tensor, z: Tensor) -> Tensor:
        made = z @ self.directions.T
        found = Independent(Normal(made, VARIANCE**0.5), 1).log_prob(images.flatten(1))
        self.seen.append(found)
        return found

    def evidence(self, images: Tensor) -> Tensor:
        covariance = self.directions @ self.directions.T + VARIANCE * torch.eye(PIXELS)
        return MultivariateNormal(torch.zeros(PIXELS), covariance).log_prob(images.flatten(1))


def bound(model: LinearGaussian, images: Tensor, draws: int) -> tuple[dict[str, Tensor], Tensor]:
    """Return the score, and its standard error over the draws."""
    keys = randomness.image_keys(0, range(len(images)))
    found = registry.create("method", "elbo", {"draws": draws, "block": len(images)}).score(model, images, keys)
    return found, torch.stack(model.seen).std(dim=0) / draws**0.5


IMAGES = torch.randn(5, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
DRAWS = 2000


def test_it_is_the_exact_log_likelihood_where_q_is_the_posterior():
    model = LinearGaussian()
    found, error = bound(model, IMAGES, DRAWS)
    assert ((-found["score"] - model.evidence(IMAGES)).abs() < 4 * error).all()
    assert (error < 0.1).all()  # the log likelihoods lie around -20 and further apart than that
    assert model.evidence(IMAGES).std() > 1


@pytest.mark.parametrize("wrong", [{"shift": 0.5}, {"widen": 1.0}, {"widen": -1.0}])
def test_it_is_below_by_how_far_q_is_from_the_posterior(wrong):
    model = LinearGaussian(**wrong)
    found, error = bound(model, IMAGES, DRAWS)
    q, posterior = (
        Independent(Normal(mean, (log_variance / 2).exp()), 1)
        for mean, log_variance in (model.posterior(IMAGES), model.exact_posterior(IMAGES))
    )
    gap = kl_divergence(q, posterior)
    assert ((model.evidence(IMAGES) + found["score"] - gap).abs() < 4 * error).all()
    assert (gap > 4 * error).all()


def test_its_parts_add_up_and_every_draw_counts():
    model = LinearGaussian()
    found, _ = bound(model, IMAGES, 3)
    assert torch.equal(found["score"], found["reconstruction"] + found["kl"])
    assert len(model.seen) == 3
    torch.testing.assert_close(found["reconstruction"], -torch.stack(model.seen).mean(0))
    assert not torch.equal(model.seen[0], model.seen[1])


def test_an_image_gets_the_draws_of_its_own_key():
    model = LinearGaussian()
    method = registry.create("method", "elbo", {"draws": 2})
    twice = IMAGES[:1].expand(2, -1, -1, -1)
    keys = randomness.image_keys(0, [3, 4])
    one, other = method.score(model, twice, keys)["score"]
    assert one != other
    assert method.score(model, twice, keys.flip(0))["score"].tolist() == [other, one]


def test_the_prior_score_is_the_means_negative_log_density():
    model = LinearGaussian(shift=0.3)
    found = registry.create("method", "vae_prior", {}).score(model, IMAGES, torch.arange(5))["score"]
    prior = Independent(Normal(torch.zeros(5, LATENT), torch.ones(5, LATENT)), 1)
    mean, _ = model.posterior(IMAGES)
    expected = prior.log_prob(torch.zeros(5, LATENT)) - prior.log_prob(mean)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_the_variance_score_is_the_posteriors_summed_variance():
    model = LinearGaussian(widen=0.5)
    found = registry.create("method", "vae_variance", {}).score(model, IMAGES, torch.arange(5))["score"]
    mean, log_variance = model.posterior(IMAGES)
    expected = Normal(mean, (log_variance / 2).exp()).variance.sum(1)
    torch.testing.assert_close(found, expected)
