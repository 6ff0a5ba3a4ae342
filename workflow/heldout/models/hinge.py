"""GAN with the hinge loss and a spectrally normalised discriminator (SN-GAN).

    min_D  E_x max(0, 1 - D(x)) + E_z max(0, 1 + D(G(z))),  every weight of D divided by its largest singular value
    min_G  -E_z D(G(z))

Source: Miyato, Kataoka, Koyama, Yoshida, ICLR 2018, eqs. (16) and (17) and Algorithm 1 (one power iteration per
forward); the loss is Lim and Ye's (Geometric GAN, arXiv 2017). Adam's step size and decays and five discriminator
updates per generator update are those of the authors' configuration with this loss (pfnet-research/sngan_projection).
Deviations: `steps` fixes the length of training; DCGAN networks with 256 latent dimensions, without batch normalisation
in D; the generator's batch is `batch`, where that configuration has twice the discriminator's. A kernel is normalised
as a matrix with one row per output channel, as in the paper.
"""

from collections.abc import Callable

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import relu

from heldout import registry
from heldout.models import Model, ModelParams, Stateful
from heldout.models._updates import adam, descend, frozen, sample_z
from heldout.networks import dcgan
from heldout.networks.shape import ImageShape


class Params(ModelParams):
    learning_rate: float = Field(2e-4, gt=0, description="Adam's step size, both networks (the authors' configuration)")
    beta1: float = Field(0.0, ge=0, lt=1, description="Adam's decay of the mean gradient (the authors' configuration)")
    beta2: float = Field(0.9, ge=0, lt=1, description="Adam's decay of the squared gradient (the same)")
    discriminator_steps: int = Field(5, ge=1, description="discriminator updates per generator update (n_dis)")
    latent: int = Field(256, ge=1, description="dimensions of z (ADGAN section 4.2)")
    width: int = Field(64, ge=1, description="channels next to the image; DCGAN's own are 128 at 64 pixels")


@registry.model(
    "hinge",
    paper="Miyato et al., ICLR 2018",
    provides=("generator", "discriminator"),
    small={"steps": 2, "batch": 4, "discriminator_steps": 2, "latent": 8, "width": 4},
    networks="1 + discriminator_steps",
)
class HingeGAN(nn.Module, Model):
    def __init__(self, params: Params, image: ImageShape, rng: torch.Generator) -> None:
        super().__init__()
        self.params = params
        self.generator = dcgan.Generator(params.latent, params.width, image)
        self.discriminator = dcgan.Discriminator(params.width, image, batch_norm=False)
        dcgan.initialise(self, rng)
        dcgan.spectrally_normalised(self.discriminator, rng)

    def start(self, images: Tensor) -> dict[str, Stateful]:
        self.optim_g = adam(self.generator.parameters(), self.params)
        self.optim_d = adam(self.discriminator.parameters(), self.params)
        return {"generator": self.optim_g, "discriminator": self.optim_d}

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        real, fake = self.discriminator(real).float(), self.discriminator(fake).float()
        return relu(1 - real).mean() + relu(1 + fake).mean()

    def generator_loss(self, fake: Tensor) -> Tensor:
        return -self.discriminator(fake).float().mean()

    def step(self, draw: Callable[[], Tensor], rng: torch.Generator) -> dict[str, Tensor]:
        """Update the discriminator `discriminator_steps` times, then the generator once; return the last losses."""
        for _ in range(self.params.discriminator_steps):
            with torch.no_grad():  # G is fixed while D is updated
                fake = self.generator(sample_z(self.params, rng))
            discriminator = descend(self.optim_d, self.discriminator_loss(draw(), fake))
        with frozen(self.discriminator):
            generator = descend(self.optim_g, self.generator_loss(self.generator(sample_z(self.params, rng))))
        return {"discriminator": discriminator, "generator": generator}

    def image_losses(self, images: Tensor) -> Tensor:
        return -self.discriminator(images).float()
