"""f-AnoGAN's encoder: trained to find the z of an image for a fixed generator and discriminator.

    izi    min_E  mean (x - G(E(x)))^2
    izi_f  min_E  mean (x - G(E(x)))^2 + kappa mean (f(x) - f(G(E(x))))^2
    ziz    min_E  mean (z - E(G(z)))^2,  z ~ N(0, I)

f is the discriminator's last map before its decision. G and D are those of the model that `parent` names, in eval mode.

Source: Schlegl, Seebock, Waldstein, Langs, Schmidt-Erfurth, Medical Image Analysis 2019, section 2.2, and the authors'
code (tSchlegl/f-AnoGAN, z_encoding_izif.py): kappa 1, batches of 64, on a WGAN-GP; RMSProp with step size 5e-5, and
TensorFlow 1's own decay 0.9 and epsilon 1e-10. E ends in tanh: the code's later version calls it the paper's
(`Z_REG_TYPE = 'tanh_fc'`); its first version has an unbounded E, like the paper's appendix A.2: `bounded: false`. A
bounded E cannot find a z beyond 1, although z ~ N(0, I).
Deviations: RMSProp is PyTorch's, which adds epsilon to the root of the mean square and starts that mean at 0, where
TensorFlow adds it under the root and starts at 1. The encoder is DCGAN's; `steps` fixes the length of training.
"""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from heldout import registry
from heldout.models import Model, ModelParams, Stateful
from heldout.models._updates import descend
from heldout.networks import dcgan
from heldout.networks.shape import ImageShape
from heldout.numerics.trimming import squared_error


class Params(ModelParams):
    objective: Literal["izi_f", "izi", "ziz"] = Field("izi_f", description="E's objective (section 2.2)")
    kappa: float = Field(1.0, ge=0, description="weight of the features in izi_f")
    learning_rate: float = Field(5e-5, gt=0, description="RMSProp's step size (the authors' code)")
    decay: float = Field(
        0.9, ge=0, lt=1, description="RMSProp's decay of the squared gradient (TensorFlow 1's; PyTorch's own is 0.99)"
    )
    epsilon: float = Field(
        1e-10, gt=0, description="RMSProp's term against division by 0 (TensorFlow 1's; PyTorch's own is 1e-8)"
    )
    bounded: bool = Field(True, description="whether tanh bounds z to [-1, 1] (the paper; its appendix A.2: false)")
    width: int = Field(64, ge=1, description="channels next to the image")


@registry.model(
    "izi_encoder",
    paper="Schlegl et al., Medical Image Analysis 2019",
    provides=("encoder", "generator", "discriminator", "autoencoder"),
    reads=("generator", "discriminator"),
    default_parent="wgan_gp",
    small={"steps": 2, "batch": 4, "width": 4},
    latent="8 * width",
)
class IziEncoder(nn.Module, Model):
    def __init__(self, params: Params, image: ImageShape, rng: torch.Generator, parent: nn.Module) -> None:
        super().__init__()
        self.params = params
        self.encoder = dcgan.Encoder(parent.generator.latent, params.width, image, bounded=params.bounded)
        dcgan.initialise(self, rng)
        self.parent = parent  # after `initialise`, which would draw its weights anew

    @property
    def generator(self) -> nn.Module:
        return self.parent.generator

    @property
    def discriminator(self) -> nn.Module:
        return self.parent.discriminator

    def autoencoder(self, images: Tensor) -> Tensor:
        return self.generator(self.encoder(images))

    def train(self, mode: bool = True) -> nn.Module:
        """Switch the encoder alone; the parent stays in eval mode."""
        super().train(mode)
        self.parent.eval()
        return self

    def start(self, images: Tensor) -> dict[str, Stateful]:
        self.parent.requires_grad_(False)
        params = self.params
        self.optim = torch.optim.RMSprop(
            self.encoder.parameters(), params.learning_rate, alpha=params.decay, eps=params.epsilon
        )
        return {"optimiser": self.optim}

    def loss(self, real: Tensor, z: Tensor) -> Tensor:
        """Return the objective for images `(N, C, H, W)`, or for `z` `(N, latent)` with ziz."""
        if self.params.objective == "ziz":
            return (z - self.encoder(self.generator(z))).float().square().mean()
        made = self.autoencoder(real)
        loss = (real - made).float().square().mean()
        if self.params.objective == "izi_f":
            features = self.discriminator.features
            loss = loss + self.params.kappa * (features(real) - features(made)).float().square().mean()
        return loss

    def step(self, draw: Callable[[], Tensor], rng: torch.Generator) -> dict[str, Tensor]:
        """Update the encoder once; return the loss."""
        z = torch.randn(self.params.batch, self.generator.latent, generator=rng, device=rng.device)
        return {self.params.objective: descend(self.optim, self.loss(draw(), z))}

    def image_losses(self, images: Tensor) -> Tensor:
        return squared_error(images, self.autoencoder(images))
