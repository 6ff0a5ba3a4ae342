"""Diagonal Gaussians, for the VAE's training and scores.

    z = mean + exp(log variance / 2) e,  e ~ N(0, I)
    KL(N(mean, variance) || N(0, I)) = 1/2 sum_d (mean_d^2 + variance_d - 1 - log variance_d)

Source: Kingma, Welling, ICLR 2014, section 2.4 and appendix B.
"""

from torch import Tensor


def moved(noise: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """Transform draws from N(0, I) to draws from N(mean, variance); all `(N, latent)`."""
    return mean + (log_variance / 2).exp() * noise


def divergence_from_prior(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(N(mean, variance) || N(0, I)) in nats, `(N, latent)` -> `(N,)`."""
    return (mean.square() + log_variance.exp() - 1 - log_variance).sum(dim=1) / 2
