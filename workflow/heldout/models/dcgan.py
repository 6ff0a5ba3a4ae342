"""The original GAN on DCGAN networks, with the generator's non-saturating loss.

    max_D  E_x log D(x) + E_z log(1 - D(G(z)))
    max_G  E_z log D(G(z))

Source: Goodfellow et al., NeurIPS 2014, Algorithm 1 and its remark on log D(G(z)); networks, Adam's step size 2e-4 and
beta1 0.5 of Radford, Metz, Chintala, ICLR 2016. It is the GAN that AnoGAN searches (Schlegl et al., IPMI 2017), here
with ADGAN's 256 latent dimensions "to put it on equal footing" (ADGAN section 4.2).
Deviations: `steps` fixes the length of training.
"""

from collections.abc import Callable

import torch
from pydantic import Field
from torch import Tensor, nn

from heldout import registry
from heldout.models._descent import descend, frozen, minus_log
from heldout.networks import dcgan
from heldout.networks.shape import ImageShape


class Params(registry.ModelParams):
    learning_rate: float = Field(2e-4, gt=0, description="Adam's step size, both networks (DCGAN section 4)")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's decay of the mean gradient (DCGAN section 4)")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the squared gradient")
    latent: int = Field(256, ge=1, description="dimensions of z (ADGAN section 4.2; DCGAN's own are 100)")
    width: int = Field(64, ge=1, description="channels next to the image; DCGAN's own are 128 at 64 pixels")


@registry.model(
    "dcgan",
    paper="Goodfellow et al., NeurIPS 2014",
    provides=("generator", "discriminator"),
    small={"steps": 2, "batch": 4, "latent": 8, "width": 4},
)
class DCGAN(nn.Module):
    def __init__(self, params: Params, image: ImageShape, rng: torch.Generator) -> None:
        super().__init__()
        self.params = params
        self.generator = dcgan.Generator(params.latent, params.width, image)
        self.discriminator = dcgan.Discriminator(params.width, image, batch_norm=True)
        dcgan.initialise(self, rng)

    def start(self, images: Tensor) -> None:
        """Set up the optimisers, once the weights are where they will be trained."""
        settings = {"lr": self.params.learning_rate, "betas": (self.params.beta1, self.params.beta2), "fused": True}
        self.optim_g = torch.optim.Adam(self.generator.parameters(), **settings)
        self.optim_d = torch.optim.Adam(self.discriminator.parameters(), **settings)

    def discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return minus_log(self.discriminator(real), is_real=True) + minus_log(self.discriminator(fake), is_real=False)

    def generator_loss(self, fake: Tensor) -> Tensor:
        return minus_log(self.discriminator(fake), is_real=True)

    def step(self, draw: Callable[[], Tensor], rng: torch.Generator) -> dict[str, Tensor]:
        """Update the discriminator once, then the generator once; return the losses.

        Args:
            draw: returns the next `(batch, C, H, W)` normal images, float32 in [-1, 1].
            rng: source of every z; its device is the images' device.
        """
        fake = self.generator(self.sample_z(rng))
        discriminator_loss = self.discriminator_loss(draw(), fake.detach())
        descend(self.optim_d, discriminator_loss)
        with frozen(self.discriminator):
            generator_loss = self.generator_loss(fake)
            descend(self.optim_g, generator_loss)
        return {"discriminator": discriminator_loss.detach(), "generator": generator_loss.detach()}

    def sample_z(self, rng: torch.Generator) -> Tensor:
        return torch.randn(self.params.batch, self.params.latent, generator=rng, device=rng.device)
