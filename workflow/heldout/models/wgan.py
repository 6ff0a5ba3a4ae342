"""Wasserstein GAN with weight clipping.

    max_f  E_x f(x) - E_z f(G(z)),  every weight of the critic f kept in [-clip, clip]
    min_G  -E_z f(G(z))

Source: Arjovsky, Chintala, Bottou, ICML 2017, Algorithm 1 with its default values; the ADGAN paper's choice (section
4.2), on DCGAN networks with 256 latent dimensions.
Deviations: `steps` fixes the length of training, where the paper waits for convergence; the critic has no batch
normalisation: clipping bounds each weight, and the batch statistics would undo the Lipschitz bound.
"""

from collections.abc import Callable

import torch
from pydantic import Field
from torch import Tensor, nn

from heldout import registry
from heldout.models import Model, ModelParams, Stateful
from heldout.models._updates import descend, frozen, sample_z
from heldout.networks import dcgan
from heldout.networks.shape import ImageShape


class Params(ModelParams):
    learning_rate: float = Field(5e-5, gt=0, description="RMSProp's step size, critic and generator (Algorithm 1)")
    clip: float = Field(0.01, gt=0, description="bound of every weight of the critic (Algorithm 1)")
    critic_steps: int = Field(5, ge=1, description="critic updates per generator update (n_critic, Algorithm 1)")
    latent: int = Field(256, ge=1, description="dimensions of z (ADGAN section 4.2)")
    width: int = Field(64, ge=1, description="channels next to the image; DCGAN's own are 128 at 64 pixels")


@registry.model(
    "wgan",
    paper="Arjovsky et al., ICML 2017",
    provides=("generator", "discriminator"),
    small={"steps": 2, "batch": 4, "critic_steps": 2, "latent": 8, "width": 4},
    networks="1 + critic_steps",
)
class WGAN(nn.Module, Model):
    def __init__(self, params: Params, image: ImageShape, rng: torch.Generator) -> None:
        super().__init__()
        self.params = params
        self.generator = dcgan.Generator(params.latent, params.width, image)
        self.critic = dcgan.Discriminator(params.width, image, batch_norm=False)
        dcgan.initialise(self, rng)

    @property
    def discriminator(self) -> dcgan.Discriminator:
        """The critic, under the name by which methods read it: higher = more like the training images."""
        return self.critic

    def start(self, images: Tensor) -> dict[str, Stateful]:
        self.optim_g = torch.optim.RMSprop(self.generator.parameters(), self.params.learning_rate)
        self.optim_f = torch.optim.RMSprop(self.critic.parameters(), self.params.learning_rate)
        return {"generator": self.optim_g, "critic": self.optim_f}

    def critic_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        return self.critic(fake).mean() - self.critic(real).mean()

    def generator_loss(self, fake: Tensor) -> Tensor:
        return -self.critic(fake).mean()

    def step(self, draw: Callable[[], Tensor], rng: torch.Generator) -> dict[str, Tensor]:
        """Update the critic `critic_steps` times, then the generator once; return the last losses."""
        for _ in range(self.params.critic_steps):
            with torch.no_grad():  # G is fixed while f is updated
                fake = self.generator(sample_z(self.params, rng))
            critic = descend(self.optim_f, self.critic_loss(draw(), fake))
            with torch.no_grad():
                for weight in self.critic.parameters():
                    weight.clamp_(-self.params.clip, self.params.clip)
        with frozen(self.critic):
            generator = descend(self.optim_g, self.generator_loss(self.generator(sample_z(self.params, rng))))
        return {"critic": critic, "generator": generator}

    def image_losses(self, images: Tensor) -> Tensor:
        return -self.critic(images).float()
