"""A model to copy: an autoencoder. One line that says what it is.

    min_{e, d}  E_x ||x - d(e(x))||^2

This first line is shown by `heldout models`; the equation above is the objective, in the paper's notation. Each of its
terms is a loss in the class below.

Source: authors, venue and year; the section or algorithm, and the code where the paper's values are incomplete.
Deviations: everything that differs from the source, and why. Here: this model is not from a paper.
"""

from collections.abc import Callable

import torch
from pydantic import Field
from torch import Tensor, nn

from heldout import registry
from heldout.models import Model, ModelParams, Stateful
from heldout.models._updates import adam, descend  # also there: sample_z, frozen, minus_log, tenfold_lower
from heldout.networks import dcgan
from heldout.networks.shape import ImageShape
from heldout.numerics.trimming import squared_error


class Params(ModelParams):
    """Parameters besides `steps`, `batch`, `trim` and `refit`; the defaults are the source's values."""

    learning_rate: float = Field(1e-3, gt=0, description="Adam's step size (where the value is from)")
    beta1: float = Field(0.9, ge=0, lt=1, description="Adam's decay of the mean gradient")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the squared gradient")
    latent: int = Field(32, ge=1, description="dimensions of the code")
    width: int = Field(64, ge=1, description="channels next to the image")


@registry.model(
    "my_model",  # the name of this file without `.py`
    paper="ours",  # authors, venue and year, for the documentation and the terminal
    provides=("encoder", "decoder", "autoencoder"),  # the attributes below that methods may read
    small={"steps": 2, "batch": 4, "latent": 8, "width": 4},  # a training of seconds, for the conformance tests
)
class MyModel(nn.Module, Model):
    def __init__(self, params: Params, image: ImageShape, rng: torch.Generator) -> None:
        super().__init__()
        self.params = params
        self.encoder = dcgan.Encoder(params.latent, params.width, image)  # (N, C, H, W) -> (N, latent)
        self.decoder = dcgan.Generator(params.latent, params.width, image)  # (N, latent) -> (N, C, H, W) in [-1, 1]
        dcgan.initialise(self, rng)  # all first weights are drawn from `rng`, never from PyTorch's global generator

    def autoencoder(self, images: Tensor) -> Tensor:
        return self.decoder(self.encoder(images))

    def start(self, images: Tensor) -> dict[str, Stateful]:
        self.optim = adam(self.parameters(), self.params)  # not in __init__: now the weights are on their device
        return {"optimiser": self.optim}

    def step(self, draw: Callable[[], Tensor], rng: torch.Generator) -> dict[str, Tensor]:
        """Update encoder and decoder once; return the squared error per image."""
        images = draw()
        reconstruction = squared_error(images, self.autoencoder(images)).mean()
        return {"reconstruction": descend(self.optim, reconstruction)}

    def image_losses(self, images: Tensor) -> Tensor:
        return squared_error(images, self.autoencoder(images))

    # `finish(images)` computes statistics of the training images that scoring needs, after the last step: see
    # models/ganomaly.py.
