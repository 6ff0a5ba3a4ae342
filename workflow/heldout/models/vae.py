"""Variational autoencoder: a decoder with a prior over z, and an encoder that estimates the posterior of z.

    max_{p, q}  E_x [ E_{z ~ q(z|x)} log p(x|z) - KL(q(z|x) || N(0, I)) ],  q(z|x) = N(mean(x), diag variance(x))
    Bernoulli: log p(x|z) = sum_pixels y log s + (1 - y) log(1 - s),  y = (x + 1) / 2,  s = (g(z) + 1) / 2
    Gaussian: log p(x|z) = -sum_pixels (x - g(z))^2 / (2 variance) + log(2 pi variance) / 2

Both sums run over all pixels and channels: with means instead, the KL would dominate and q would collapse to the prior.

Source: Kingma, Welling, ICLR 2014, eqs. 3, 7 and 10, one draw of z per image; a baseline of the ADGAN paper (section
4.2), which states neither likelihood nor training. Adam's settings, batch 32 and 256 dimensions are those of its first
author's code (ldeecke/vae-torch). That code has the Bernoulli likelihood, ours the Gaussian by default: grey values are
not outcomes of a Bernoulli variable, and even perfectly reconstructed they cost their entropy, up to log 2 per pixel,
so that the ELBO would mainly rank images by how grey they are.
Deviations: the networks are DCGAN's, as for all models here, so the encoder has LeakyReLU and no batch normalisation
next to the image (the ADGAN paper: batch normalisation and ReLU "in each layer"), and mean and log variance have no
bias.
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from heldout import registry
from heldout.models import Model, ModelParams, Stateful
from heldout.models._updates import adam, descend
from heldout.networks import dcgan
from heldout.networks.gaussian import divergence_from_prior, moved
from heldout.networks.shape import ImageShape
from heldout.numerics.trimming import squared_error


class Params(ModelParams):
    batch: int = Field(32, ge=2, description="images in one update (ldeecke/vae-torch)")
    likelihood: Literal["gaussian", "bernoulli"] = Field(
        "gaussian", description="p(pixel | z); the ADGAN paper does not state it, ldeecke/vae-torch has Bernoulli"
    )
    variance: float = Field(1.0, gt=0, description="fixed variance of the Gaussian likelihood, for pixels in [-1, 1]")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's step size (ldeecke/vae-torch)")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's decay of the mean gradient (ldeecke/vae-torch)")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the squared gradient (ldeecke/vae-torch)")
    latent: int = Field(256, ge=1, description="dimensions of z (ADGAN section 4.2; ldeecke/vae-torch)")
    width: int = Field(64, ge=1, description="channels next to the image; 64 in ldeecke/vae-torch")


@registry.model(
    "vae",
    paper="Kingma, Welling, ICLR 2014",
    provides=("generator", "encoder", "autoencoder", "posterior", "log_likelihood"),
    small={"steps": 2, "batch": 4, "latent": 8, "width": 4},
)
class VAE(nn.Module, Model):
    def __init__(self, params: Params, image: ImageShape, rng: torch.Generator) -> None:
        super().__init__()
        self.params = params
        self.generator = dcgan.Generator(params.latent, params.width, image)
        self.inference = dcgan.Encoder(2 * params.latent, params.width, image)  # two linear heads on the same features
        dcgan.initialise(self, rng)

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of q(z|x), `(N, latent)` each."""
        mean, log_variance = self.inference(images).float().chunk(2, dim=1)
        return mean, log_variance

    def log_likelihood(self, images: Tensor, z: Tensor) -> Tensor:
        """Return log p(x|z) in nats, `(N,)`."""
        if self.params.likelihood == "gaussian":
            variance = self.params.variance
            squares = (images - self.generator(z).float()).square()
            per_pixel = -(squares / variance + math.log(2 * math.pi * variance)) / 2
        else:
            # (tanh(a) + 1) / 2 = sigmoid(2 a), from a itself: where tanh rounds to +-1, a logarithm would be infinite.
            logits = 2 * self.generator.blocks[:-1](z).float()
            per_pixel = -binary_cross_entropy_with_logits(logits, (images + 1) / 2, reduction="none")
        return per_pixel.flatten(1).sum(1)  # (N, C, H, W) -> (N,)

    def encoder(self, images: Tensor) -> Tensor:
        """Return the mean of q(z|x), `(N, latent)`."""
        return self.posterior(images)[0]

    def autoencoder(self, images: Tensor) -> Tensor:
        """Return the generator's image of the mean of q(z|x)."""
        return self.generator(self.encoder(images))

    def start(self, images: Tensor) -> dict[str, Stateful]:
        self.optim = adam(self.parameters(), self.params)
        return {"optimiser": self.optim}

    def step(self, draw: Callable[[], Tensor], rng: torch.Generator) -> dict[str, Tensor]:
        """Update encoder and decoder once; return the two parts of -ELBO, per image."""
        images = draw()
        mean, log_variance = self.posterior(images)
        z = moved(torch.randn(mean.shape, generator=rng, device=rng.device), mean, log_variance)
        reconstruction = -self.log_likelihood(images, z).mean()
        kl = divergence_from_prior(mean, log_variance).mean()
        descend(self.optim, reconstruction + kl)
        return {"reconstruction": reconstruction.detach(), "kl": kl.detach()}

    def image_losses(self, images: Tensor) -> Tensor:
        return squared_error(images, self.autoencoder(images))
