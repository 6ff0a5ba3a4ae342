"""Least squares GAN: the discriminator is regressed on labels, so that its gradient does not vanish far from them.

    min_D  1/2 E_x (D(x) - 1)^2 + 1/2 E_z D(G(z))^2
    min_G  1/2 E_z (D(G(z)) - 1)^2

Source: Mao, Li, Xie, Lau, Wang, Smolley, ICCV 2017, eq. (9): the labels are a = 0 for generated images, b = 1 for real
ones and c = 1 for the generator. Step size, beta1 and batch as in the authors' code for scenes (xudonmao/LSGAN
train_lsun.py). The ADGAN paper names it as another GAN to search (section 3.1).
The generator's update draws new z, as Algorithm 1 of the original GAN does (Goodfellow et al., NeurIPS 2014). The LSGAN
paper is silent; the authors' code gives the generator the z of the discriminator's update: `generator_z: reused`.
Deviations: `steps` fixes the length of training; DCGAN networks with 256 latent dimensions, z from N(0, I) and not from
U(-1, 1); means over the batch, where the code has sums; Adam is nearly invariant to that factor.
"""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from heldout import registry
from heldout.models import Model, ModelParams, Stateful
from heldout.models._updates import adam, descend, frozen, sample_z
from heldout.networks import dcgan
from heldout.networks.shape import ImageShape


class Params(ModelParams):
    learning_rate: float = Field(
        1e-3, gt=0, description="Adam's step size, both networks (the authors' code for scenes)"
    )
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's decay of the mean gradient (the authors' code)")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the squared gradient")
    generator_z: Literal["fresh", "reused"] = Field(
        "fresh",
        description="z of the generator's update: drawn anew (Algorithm 1 of the GAN), or D's (the authors' code)",
    )
    latent: int = Field(256, ge=1, description="dimensions of z (ADGAN section 4.2)")
    width: int = Field(64, ge=1, description="channels next to the image; DCGAN's own are 128 at 64 pixels")


@registry.model(
    "lsgan",
    paper="Mao et al., ICCV 2017",
    provides=("generator", "discriminator"),
    small={"steps": 2, "batch": 4, "latent": 8, "width": 4},
)
class LSGAN(nn.Module, Model):
    def __init__(self, params: Params, image: ImageShape, rng: torch.Generator) -> None:
        super().__init__()
        self.params = params
        self.generator = dcgan.Generator(params.latent, params.width, image)
        self.discriminator = dcgan.Discriminator(params.width, image, batch_norm=True)
        dcgan.initialise(self, rng)

    def start(self, images: Tensor) -> dict[str, Stateful]:
        self.optim_g = adam(self.generator.parameters(), self.params)
        self.optim_d = adam(self.discriminator.parameters(), self.params)
        return {"generator": self.optim_g, "discriminator": self.optim_d}

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return _half_squared_error(self.discriminator(real), 1) + _half_squared_error(self.discriminator(fake), 0)

    def generator_loss(self, fake: Tensor) -> Tensor:
        return _half_squared_error(self.discriminator(fake), 1)

    def step(self, draw: Callable[[], Tensor], rng: torch.Generator) -> dict[str, Tensor]:
        """Update the discriminator once, then the generator once; return the losses."""
        reused = self.params.generator_z == "reused"
        with torch.set_grad_enabled(reused):  # G is fixed while D is updated
            fake = self.generator(sample_z(self.params, rng))
        discriminator = descend(self.optim_d, self.discriminator_loss(draw(), fake.detach()))
        with frozen(self.discriminator):
            if not reused:
                fake = self.generator(sample_z(self.params, rng))
            generator = descend(self.optim_g, self.generator_loss(fake))
        return {"discriminator": discriminator, "generator": generator}

    def image_losses(self, images: Tensor) -> Tensor:
        return -self.discriminator(images).float()


def _half_squared_error(outputs: Tensor, label: int) -> Tensor:
    return (outputs.float() - label).square().mean() / 2
