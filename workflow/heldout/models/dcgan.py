"""The original GAN on DCGAN networks, with the generator's non-saturating loss.

    max_D  E_x log D(x) + E_z log(1 - D(G(z)))
    max_G  E_z log D(G(z))

Source: Goodfellow et al., NeurIPS 2014, Algorithm 1 and its remark on log D(G(z)); networks, Adam's step size 2e-4 and
beta1 0.5 of Radford, Metz, Chintala, ICLR 2016. It is the GAN that AnoGAN searches (Schlegl et al., IPMI 2017), here
with ADGAN's 256 latent dimensions "to put it on equal footing" (ADGAN section 4.2).
Algorithm 1 draws new z for the generator's update, and so does this model. `generator_z: reused` gives the generator
the images that the discriminator has just seen, as widespread codes do (soumith/dcgan.torch main.lua, pytorch/examples
dcgan/main.py); it saves a forward of G.
Deviations: `steps` fixes the length of training.
"""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from heldout import registry
from heldout.models import Model, ModelParams, Stateful
from heldout.models._updates import adam, descend, frozen, minus_log, sample_z
from heldout.networks import dcgan
from heldout.networks.shape import ImageShape


class Params(ModelParams):
    learning_rate: float = Field(2e-4, gt=0, description="Adam's step size, both networks (DCGAN section 4)")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's decay of the mean gradient (DCGAN section 4)")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the squared gradient")
    generator_z: Literal["fresh", "reused"] = Field(
        "fresh", description="z of the generator's update: drawn anew (Algorithm 1), or D's (soumith/dcgan.torch)"
    )
    latent: int = Field(256, ge=1, description="dimensions of z (ADGAN section 4.2; 100 in DCGAN)")
    width: int = Field(64, ge=1, description="channels next to the image; DCGAN's own are 128 at 64 pixels")


@registry.model(
    "dcgan",
    paper="Goodfellow et al., NeurIPS 2014",
    provides=("generator", "discriminator"),
    small={"steps": 2, "batch": 4, "latent": 8, "width": 4},
)
class DCGAN(nn.Module, Model):
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
        return minus_log(self.discriminator(real), is_real=True) + minus_log(self.discriminator(fake), is_real=False)

    def generator_loss(self, fake: Tensor) -> Tensor:
        return minus_log(self.discriminator(fake), is_real=True)

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
