"""Deep convolutional autoencoder: its short code reconstructs images like the training images best.

    min_{e, d}  E_x ||x - d(e(x))||^2 + weight_decay / 2 ||weights||^2

Source: Deecke et al., ECML-PKDD 2018, section 4.2, where it is a baseline with a network "similar to that of DCGAN";
the paper does not describe its training, which follows the autoencoders of Ruff et al., ICML 2018, in their code
(lukasruff/Deep-SVDD and Deep-SVDD-PyTorch): squared error, Adam with step size 1e-4 and a tenth of it after 250 of 350
epochs, batches of 200, weight decay.
Deviations: the networks are DCGAN's, as for all models here, so the encoder has LeakyReLU and no batch normalisation
next to the image (the ADGAN paper: batch normalisation and ReLU "in each layer"). `bounded` is in neither paper.
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
from heldout.numerics.trimming import squared_error


class Params(ModelParams):
    batch: int = Field(200, ge=2, description="images in one update (Deep-SVDD-PyTorch)")
    learning_rate: float = Field(1e-4, gt=0, description="Adam's step size (Deep-SVDD-PyTorch)")
    lower_after: float = Field(
        250 / 350, gt=0, le=1, description="fraction of steps after which the step size is a tenth (Deep-SVDD-PyTorch)"
    )
    beta1: float = Field(0.9, ge=0, lt=1, description="Adam's decay of the mean gradient (PyTorch's own)")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the squared gradient (PyTorch's own)")
    weight_decay: float = Field(5e-7, ge=0, description="weight of the squared weights (Deep-SVDD-PyTorch, CIFAR-10)")
    bounded: bool = Field(False, description="tanh on the code, as f-AnoGAN's and OCGAN's encoders have")
    latent: int = Field(256, ge=1, description="dimensions of the code (ADGAN section 4.2, for its z)")
    width: int = Field(64, ge=1, description="channels next to the image; DCGAN's own are 128 at 64 pixels")


@registry.model(
    "dcae",
    paper="Deecke et al., ECML-PKDD 2018",
    provides=("autoencoder", "encoder", "decoder"),
    small={"steps": 2, "batch": 4, "latent": 8, "width": 4},
)
class DCAE(nn.Module, Model):
    def __init__(self, params: Params, image: ImageShape, rng: torch.Generator) -> None:
        super().__init__()
        self.params = params
        self.encoder = dcgan.Encoder(params.latent, params.width, image, bounded=params.bounded)
        self.decoder = dcgan.Generator(params.latent, params.width, image)
        dcgan.initialise(self, rng)

    def autoencoder(self, images: Tensor) -> Tensor:
        return self.decoder(self.encoder(images))

    def start(self, images: Tensor) -> dict[str, Stateful]:
        params = self.params
        self.optim = adam(self.parameters(), params, params.weight_decay)
        self.schedule = tenfold_lower(self.optim, params.lower_after, params.steps)
        return {"optimiser": self.optim, "schedule": self.schedule}

    def step(self, draw: Callable[[], Tensor], rng: torch.Generator) -> dict[str, Tensor]:
        """Update encoder and decoder once; return the squared error per image."""
        images = draw()
        made = self.autoencoder(images).float()
        reconstruction = (images - made).square().flatten(1).sum(1).mean()
        losses = {"reconstruction": descend(self.optim, reconstruction)}
        self.schedule.step()
        return losses

    def image_losses(self, images: Tensor) -> Tensor:
        return squared_error(images, self.autoencoder(images))
