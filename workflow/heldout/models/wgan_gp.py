"""Wasserstein GAN with a gradient penalty in place of weight clipping.

    min_f  E_z f(G(z)) - E_x f(x) + penalty E_x^ (||grad f(x^)||_2 - 1)^2,   x^ = e x + (1 - e) G(z),  e ~ U(0, 1)
    min_G  -E_z f(G(z))

Each real image is paired with a generated one, and each pair has its own e. The penalty is two-sided: it also applies
to slopes below 1.

Source: Gulrajani, Ahmed, Arjovsky, Dumoulin, Courville, NeurIPS 2017, Algorithm 1 with its default values, and section
4: no batch normalisation in the critic, since the penalty is on the slope at each image alone.
Deviations: `steps` fixes the length of training, where the paper waits for convergence; DCGAN networks with 256 latent
dimensions; the critic has no normalisation at all, as in the authors' code for MNIST (igul222/improved_wgan_training
gan_mnist.py, where beta1 is 0.5), where the paper recommends layer normalisation.
"""

from collections.abc import Callable

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from heldout import registry
from heldout.models import Model, ModelParams, Stateful
from heldout.models._updates import adam, descend, frozen, sample_z
from heldout.networks import dcgan
from heldout.networks.shape import ImageShape


class Params(ModelParams):
    learning_rate: float = Field(1e-4, gt=0, description="Adam's step size, critic and generator (Algorithm 1)")
    beta1: float = Field(0.0, ge=0, lt=1, description="Adam's decay of the mean gradient (Algorithm 1)")
    beta2: float = Field(0.9, ge=0, lt=1, description="Adam's decay of the squared gradient (Algorithm 1)")
    penalty: float = Field(10.0, ge=0, description="weight of the gradient penalty (lambda, Algorithm 1)")
    critic_steps: int = Field(5, ge=1, description="critic updates per generator update (n_critic, Algorithm 1)")
    latent: int = Field(256, ge=1, description="dimensions of z (ADGAN section 4.2)")
    width: int = Field(64, ge=1, description="channels next to the image; DCGAN's own are 128 at 64 pixels")


@registry.model(
    "wgan_gp",
    paper="Gulrajani et al., NeurIPS 2017",
    provides=("generator", "discriminator"),
    small={"steps": 2, "batch": 4, "critic_steps": 2, "latent": 8, "width": 4},
    networks="1 + critic_steps",
)
class WGANGP(nn.Module, Model):
    def __init__(self, params: Params, image: ImageShape, rng: torch.Generator) -> None:
        super().__init__()
        self.params = params
        self.generator = dcgan.Generator(params.latent, params.width, image)
        self.critic = dcgan.Discriminator(params.width, image, batch_norm=False)
        _refuse_batch_norm(self.critic)
        dcgan.initialise(self, rng)

    @property
    def discriminator(self) -> dcgan.Discriminator:
        """The critic, under the name by which methods read it: higher = more like the training images."""
        return self.critic

    def start(self, images: Tensor) -> dict[str, Stateful]:
        self.optim_g = adam(self.generator.parameters(), self.params)
        self.optim_f = adam(self.critic.parameters(), self.params)
        return {"generator": self.optim_g, "critic": self.optim_f}

    def critic_loss(self, real: Tensor, fake: Tensor, e: Tensor) -> Tensor:
        wasserstein = self.critic(fake).float().mean() - self.critic(real).float().mean()
        return wasserstein + self.params.penalty * self.gradient_penalty(real, fake, e)

    def gradient_penalty(self, real: Tensor, fake: Tensor, e: Tensor) -> Tensor:
        """Return the mean of (||grad f|| - 1)^2 at the images e * real + (1 - e) * fake, with e `(N, 1, 1, 1)`."""
        between = (e * real + (1 - e) * fake).requires_grad_()
        # The sum's gradient is each image's own, since the critic handles each image alone.
        (slope,) = torch.autograd.grad(self.critic(between).float().sum(), between, create_graph=True)
        return (slope.flatten(1).norm(dim=1) - 1).square().mean()  # (N, C, H, W) -> (N,) -> ()

    def generator_loss(self, fake: Tensor) -> Tensor:
        return -self.critic(fake).float().mean()

    def step(self, draw: Callable[[], Tensor], rng: torch.Generator) -> dict[str, Tensor]:
        """Update the critic `critic_steps` times, then the generator once; return the last losses."""
        for _ in range(self.params.critic_steps):
            with torch.no_grad():  # G is fixed while f is updated
                fake = self.generator(sample_z(self.params, rng))
            e = torch.rand(self.params.batch, 1, 1, 1, generator=rng, device=rng.device)
            critic = descend(self.optim_f, self.critic_loss(draw(), fake, e))
        with frozen(self.critic):
            generator = descend(self.optim_g, self.generator_loss(self.generator(sample_z(self.params, rng))))
        return {"critic": critic, "generator": generator}

    def image_losses(self, images: Tensor) -> Tensor:
        return -self.critic(images).float()


def _refuse_batch_norm(critic: nn.Module) -> None:
    mixes = any(isinstance(module, _BatchNorm) for module in critic.modules())
    assert not mixes, (
        "with batch normalisation, f(x^) depends on the whole batch, and its slope at x^ alone has no meaning"
    )
