"""Conditional GAN on DCGAN networks: generator and discriminator are given the normal class of an image.

    max_D  E_(x,y) log D(x, y) + E_(z,y) log(1 - D(G(z, y), y))
    max_G  E_(z,y) log D(G(z, y), y)

G is given y as a one-hot vector beside z, D as one constant channel per class beside the image's channels. Generated
images have the classes of the real batch, in both updates. With one normal class, this is the GAN without condition.

Source: Mirza, Osindero, arXiv 2014 (1411.1784), eq. 2; the survey's section 2.2. Networks and Adam as in `dcgan`.
The generator's update draws new z, as Algorithm 1 of the original GAN does; `generator_z: reused` is as in `dcgan`.
Deviations: the paper's networks are fully connected and add y in a hidden layer; ours are DCGAN's, with the generator's
non-saturating loss. `steps` fixes the length of training.
"""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import one_hot

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
        "fresh", description="z of the generator's update: drawn anew (Algorithm 1 of the GAN), or D's (see `dcgan`)"
    )
    latent: int = Field(256, ge=1, description="dimensions of z, without the class (ADGAN section 4.2)")
    width: int = Field(64, ge=1, description="channels next to the image; DCGAN's own are 128 at 64 pixels")


class ConditionalGenerator(nn.Module):
    """z `(N, latent)` and class numbers `(N,)` -> images `(N, C, side, side)` in [-1, 1]."""

    def __init__(self, latent: int, width: int, image: ImageShape) -> None:
        super().__init__()
        self.latent, self.classes = latent, image.classes
        self.network = dcgan.Generator(latent + image.classes, width, image)

    def forward(self, z: Tensor, classes: Tensor) -> Tensor:
        return self.network(torch.cat([z, one_hot(classes, self.classes).to(z.dtype)], dim=1))


class ConditionalDiscriminator(nn.Module):
    """Images and class numbers -> `(N,)`; without class numbers, the highest output over the classes."""

    def __init__(self, width: int, image: ImageShape) -> None:
        super().__init__()
        self.classes = image.classes
        seen = ImageShape(image.channels + image.classes, image.side)
        self.network = dcgan.Discriminator(width, seen, batch_norm=True)

    def forward(self, images: Tensor, classes: Tensor | None = None) -> Tensor:
        if classes is None:
            return self._of_every_class(images).amax(dim=1)
        return self.network(self._with_class(images, classes))

    def features(self, images: Tensor) -> Tensor:
        """Return the last map before the decision, for each image's class of highest output."""
        best = self._of_every_class(images).argmax(dim=1)
        return self.network.features(self._with_class(images, best))

    def _of_every_class(self, images: Tensor) -> Tensor:
        every = (torch.full((len(images),), number, device=images.device) for number in range(self.classes))
        return torch.stack([self(images, classes) for classes in every], dim=1)  # (N, classes)

    def _with_class(self, images: Tensor, classes: Tensor) -> Tensor:
        channels = one_hot(classes, self.classes).to(images.dtype)[:, :, None, None]
        return torch.cat([images, channels.expand(-1, -1, *images.shape[2:])], dim=1)


@registry.model(
    "cgan",
    paper="Mirza, Osindero, arXiv 2014",
    provides=("conditional_generator", "discriminator"),
    conditional=True,
    small={"steps": 2, "batch": 4, "latent": 8, "width": 4},
)
class CGAN(nn.Module, Model):
    def __init__(self, params: Params, image: ImageShape, rng: torch.Generator) -> None:
        super().__init__()
        self.params = params
        self.conditional_generator = ConditionalGenerator(params.latent, params.width, image)
        self.discriminator = ConditionalDiscriminator(params.width, image)
        dcgan.initialise(self, rng)

    def start(self, images: Tensor) -> dict[str, Stateful]:
        self.optim_g = adam(self.conditional_generator.parameters(), self.params)
        self.optim_d = adam(self.discriminator.parameters(), self.params)
        return {"generator": self.optim_g, "discriminator": self.optim_d}

    def discriminator_loss(self, real: Tensor, fake: Tensor, classes: Tensor) -> Tensor:
        of_real = minus_log(self.discriminator(real, classes), is_real=True)
        return of_real + minus_log(self.discriminator(fake, classes), is_real=False)

    def generator_loss(self, fake: Tensor, classes: Tensor) -> Tensor:
        return minus_log(self.discriminator(fake, classes), is_real=True)

    def step(self, draw: Callable[[], tuple[Tensor, Tensor]], rng: torch.Generator) -> dict[str, Tensor]:
        """Update the discriminator once, then the generator once; return the losses."""
        real, classes = draw()
        reused = self.params.generator_z == "reused"
        with torch.set_grad_enabled(reused):  # G is fixed while D is updated
            fake = self.conditional_generator(sample_z(self.params, rng), classes)
        discriminator = descend(self.optim_d, self.discriminator_loss(real, fake.detach(), classes))
        with frozen(self.discriminator):
            if not reused:
                fake = self.conditional_generator(sample_z(self.params, rng), classes)
            generator = descend(self.optim_g, self.generator_loss(fake, classes))
        return {"discriminator": discriminator, "generator": generator}

    def image_losses(self, images: Tensor, classes: Tensor) -> Tensor:
        return -self.discriminator(images, classes).float()
