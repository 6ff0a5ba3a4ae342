"""One-class Deep SVDD: an embedding that draws the training images together around a fixed centre.

    min_phi  E_x ||phi(x) - c||^2 + weight_decay / 2 ||weights||^2
    c = mean of phi(x) over the training images before the first update, moved away from 0 in every coordinate

Weights of 0 and biases of c would solve it for every image (propositions 1 to 3 of the paper): so phi has no bias, no
bounded activation, batch normalisation without trained scale and shift, and c no coordinate near 0.

Source: Ruff, Vandermeulen, Goernitz, Deecke et al., ICML 2018, eq. 4; the rest follows their code
(lukasruff/Deep-SVDD-PyTorch): c is computed in eval mode, and coordinates below 0.1 are set to +-0.1; an autoencoder is
trained first, whose encoder is the start of phi and whose decoder is discarded; both trainings use Adam with step size
1e-4, a tenth of it after a fraction of the epochs, batches of 200 and weight decay.
Deviations: phi is DCGAN's discriminator, as for all models here (strided convolutions, LeakyReLU 0.2), where the code
has 5x5 kernels with max-pooling and batch normalisation with an epsilon of 1e-4, not 1e-5; the discarded decoder is
DCGAN's generator, including its trained scales and shifts. Images stay in [-1, 1], where the code normalises each
image's contrast and then each class to [0, 1]. Without pretraining, batch normalisation still has mean 0 and variance 1
when c is computed, as in the code.
"""

from collections.abc import Callable

import torch
from pydantic import Field
from torch import Tensor, nn

from heldout import registry
from heldout.models import Model, ModelParams, Stateful
from heldout.models._updates import adam, descend, tenfold_lower
from heldout.networks import dcgan
from heldout.networks.shape import ImageShape
from heldout.numerics.blocks import in_blocks
from heldout.numerics.pixels import to_unit_range
from heldout.numerics.trimming import squared_error


class Params(ModelParams):
    batch: int = Field(200, ge=2, description="images in one update (Deep-SVDD-PyTorch)")
    pretraining: int = Field(10_000, ge=0, description="updates of the autoencoder, before those of `steps`")
    learning_rate: float = Field(1e-4, gt=0, description="Adam's step size, both trainings (Deep-SVDD-PyTorch)")
    lower_after: float = Field(
        50 / 150, gt=0, le=1, description="fraction of steps after which the step size is a tenth (Deep-SVDD-PyTorch)"
    )
    pretraining_lower_after: float = Field(
        250 / 350,
        gt=0,
        le=1,
        description="fraction of `pretraining` after which it is a tenth (Deep-SVDD-PyTorch, CIFAR-10)",
    )
    beta1: float = Field(0.9, ge=0, lt=1, description="Adam's decay of the mean gradient (PyTorch's own)")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the squared gradient (PyTorch's own)")
    weight_decay: float = Field(5e-7, ge=0, description="weight of squared weights, both trainings (Deep-SVDD-PyTorch)")
    away_from_zero: float = Field(0.1, ge=0, description="minimum of c's absolute coordinates (Deep-SVDD-PyTorch)")
    latent: int = Field(128, ge=1, description="dimensions of the embedding (Deep-SVDD-PyTorch: 128, MNIST 32)")
    width: int = Field(64, ge=1, description="channels next to the image; DCGAN's own are 128 at 64 pixels")

    @property
    def updates(self) -> int:
        return self.pretraining + self.steps


@registry.model(
    "deep_svdd",
    paper="Ruff et al., ICML 2018",
    provides=("embedding", "centre"),
    small={"steps": 2, "pretraining": 2, "batch": 4, "latent": 8, "width": 4},
    updates="pretraining + steps",
)
class DeepSVDD(nn.Module, Model):
    def __init__(self, params: Params, image: ImageShape, rng: torch.Generator) -> None:
        super().__init__()
        self.params = params
        self.embedding = dcgan.Encoder(params.latent, params.width, image, biases=False)
        self.register_buffer("centre", torch.zeros(params.latent))
        dcgan.initialise(self, rng)
        decoder = dcgan.initialise(dcgan.Generator(params.latent, params.width, image), rng)
        self.discarded = [decoder]  # in a list, so that it is neither part of the model nor of its checkpoint

    def start(self, images: Tensor) -> dict[str, Stateful]:
        params = self.params
        self.images = images  # their mean embedding after the pretraining is the centre
        (decoder,) = self.discarded
        decoder.to(self.centre.device)
        autoencoder = [*self.embedding.parameters(), *decoder.parameters()]
        self.pretraining_optim = adam(autoencoder, params, params.weight_decay)
        self.pretraining_schedule = tenfold_lower(
            self.pretraining_optim, params.pretraining_lower_after, params.pretraining
        )
        self.optim = adam(self.embedding.parameters(), params, params.weight_decay)
        self.schedule = tenfold_lower(self.optim, params.lower_after, params.steps)
        return {
            "decoder": decoder,
            "pretraining optimiser": self.pretraining_optim,
            "pretraining schedule": self.pretraining_schedule,
            "optimiser": self.optim,
            "schedule": self.schedule,
        }

    def step(self, draw: Callable[[], Tensor], rng: torch.Generator) -> dict[str, Tensor]:
        """Update the embedding once, during the pretraining as part of the autoencoder; return the loss."""
        if self.pretraining_schedule.last_epoch < self.params.pretraining:
            images = draw()
            made = self.discarded[0](self.embedding(images)).float()
            reconstruction = (images - made).square().flatten(1).sum(1).mean()
            losses = {"reconstruction": descend(self.pretraining_optim, reconstruction)}
            self.pretraining_schedule.step()
            return losses
        if self.schedule.last_epoch == 0:
            self._fix_centre(self.images)
        distance = (self.embedding(draw()).float() - self.centre).square().sum(1).mean()
        losses = {"distance": descend(self.optim, distance)}
        self.schedule.step()
        return losses

    def image_losses(self, images: Tensor) -> Tensor:
        """Return the squared distance to c; 0 before c is computed."""
        return squared_error(self.embedding(images), self.centre) * float(self.centre.any())

    @torch.no_grad()
    def _fix_centre(self, images: Tensor) -> None:
        """Set c to the mean embedding of all images, uint8, in eval mode and blocks of `batch`."""

        def embedded(block: Tensor) -> Tensor:
            return self.embedding(to_unit_range(block)).float()

        self.embedding.eval()
        (embeddings,) = in_blocks(embedded, images, size=self.params.batch)
        self.embedding.train()
        mean, least = embeddings.mean(dim=0), self.params.away_from_zero
        moved = torch.where(mean < 0, -least, least)
        self.centre.copy_(torch.where(mean.abs() < least, moved, mean))
