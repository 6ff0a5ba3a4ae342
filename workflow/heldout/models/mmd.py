"""Generative moment matching network: a generator trained by a two-sample statistic, without a discriminator.

    min_G  sqrt(MMD^2),  MMD^2 = mean_ij k(x_i, x_j) + mean_ij k(G(z_i), G(z_j)) - 2 mean_ij k(x_i, G(z_j))
    k(x, y) = sum_s exp(-||x - y||^2 / (2 s)),  s in `bandwidths`, pixels in [0, 1]

This is the biased estimate: the means include the pairs i = j, so that it is never negative and has a root.

Source: Li, Swersky, Zemel, ICML 2015, eqs. (2), (3) and (5) and section 4; the bandwidths (variances), the batch and
the estimate are those of the authors' code for MNIST in pixel space (yujiali/gmmn train.py, core/generative.py). The
ADGAN paper names it as a generator that it could search (section 3.1).
Deviations: DCGAN's generator and Adam, where the authors train a network of dense layers with momentum and a step size
of 2 on 1000 times the loss; z from N(0, I), where methods search, and not from U(-1, 1); no autoencoder.
"""

from collections.abc import Callable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from heldout import registry
from heldout.models import Model, ModelParams, Stateful
from heldout.models._updates import adam, descend, sample_z
from heldout.networks import dcgan
from heldout.networks.shape import ImageShape
from heldout.numerics import randomness

SMALLEST = 1e-10  # MMD^2 under the root: its slope at 0 is infinite, and rounding can make MMD^2 negative


class Params(ModelParams):
    batch: int = Field(1000, ge=2, description="real images in one update, and generated ones (the authors' code)")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's step size (ours: see the deviations)")
    beta1: float = Field(0.9, ge=0, lt=1, description="Adam's decay of the mean gradient")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the squared gradient")
    bandwidths: list[Annotated[float, Field(gt=0)]] = Field(
        [2.0, 5.0, 10.0, 20.0, 40.0, 80.0],
        min_length=1,
        description="variances of the kernels, for pixels in [0, 1] (sigma of the authors' code for MNIST)",
    )
    latent: int = Field(256, ge=1, description="dimensions of z (ADGAN section 4.2; the authors' own are 10)")
    width: int = Field(64, ge=1, description="channels next to the image; DCGAN's own are 128 at 64 pixels")


@registry.model(
    "mmd",
    paper="Li et al., ICML 2015",
    provides=("generator",),
    small={"steps": 2, "batch": 4, "latent": 8, "width": 4},
)
class MMD(nn.Module, Model):
    def __init__(self, params: Params, image: ImageShape, rng: torch.Generator) -> None:
        super().__init__()
        self.params = params
        self.generator = dcgan.Generator(params.latent, params.width, image)
        dcgan.initialise(self, rng)

    def start(self, images: Tensor) -> dict[str, Stateful]:
        self.optim = adam(self.generator.parameters(), self.params)
        return {"optimiser": self.optim}

    def generator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        real, fake = ((images.flatten(1) + 1) / 2 for images in (real, fake))  # from [-1, 1] to [0, 1]
        return squared_mmd(real, fake, self.params.bandwidths).clamp(min=SMALLEST).sqrt()

    def step(self, draw: Callable[[], Tensor], rng: torch.Generator) -> dict[str, Tensor]:
        """Update the generator once; return the loss."""
        loss = self.generator_loss(draw(), self.generator(sample_z(self.params, rng)))
        return {"generator": descend(self.optim, loss)}

    def image_losses(self, images: Tensor) -> Tensor:
        """Return the squared distance to the nearest of `batch` samples; their z are the same for every image."""
        z = sample_z(self.params, randomness.generator("trimming")).to(images.device)
        made = self.generator(z).float()
        return torch.cdist(images.flatten(1), made.flatten(1)).min(dim=1).values.square()


def squared_mmd(a: Tensor, b: Tensor, bandwidths: list[float]) -> Tensor:
    """Return the biased estimate of MMD^2 between the rows of `a` and those of `b`, `(N, D)` and `(M, D)`."""
    # In bfloat16, the distance between two similar images would be the rounding error of their norms.
    with torch.autocast(a.device.type, enabled=False):
        a, b = a.float(), b.float()
        pairs = ((_squared_distances(a, a), 1), (_squared_distances(b, b), 1), (_squared_distances(a, b), -2))
        return sum(sign * (-squared / (2 * s)).exp().mean() for squared, sign in pairs for s in bandwidths)


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Rows `(N, D)` and `(M, D)` -> `(N, M)`."""
    squares = a.square().sum(1)[:, None] + b.square().sum(1)[None, :]
    return (squares - 2 * a @ b.T).clamp(min=0)
