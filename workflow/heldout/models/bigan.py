"""BiGAN: a generator and an encoder that learn to be each other's inverse from a discriminator of pairs.

    max_D  E_x log D(x, E(x)) + E_z log(1 - D(G(z), z))
    max_G  E_z log D(G(z), z),   max_E  E_x log(1 - D(x, E(x)))

Source: Donahue, Kraehenbuehl, Darrell, ICLR 2017, and Dumoulin et al., ICLR 2017 (ALI), as EGBAD trains it: Zenati,
Foo, Lecouat, Manek, Chandrasekhar, arXiv 2018 (the survey's eq. 3), and its code for MNIST
(houssamzenati/Efficient-GAN-Anomaly-Detection, bigan/), whose values are the defaults: Adam 1e-5 and (0.5, 0.999),
batches of 100, 200 latent dimensions, dropout 0.5 in D. As there, D is updated on one batch, then G and E together on
another with new z. The trained weights are exponential moving averages over the updates, with decay 0.999 (`ema`);
batch normalisation keeps its own running statistics. Such an average needs thousands of steps, and the step size 1e-5
tens of thousands: for a training of minutes, set `learning_rate` to 2e-4 and `ema` to average over a tenth of the
steps, or to 0.
Deviations: `steps` fixes the length of training. The networks are DCGAN's with its LeakyReLU 0.2; D's image branch has
dropout after its last layer only. One Adam updates G and E, which is equivalent to one for each.
"""

from collections.abc import Callable

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from heldout import registry
from heldout.models import Model, ModelParams, Stateful
from heldout.models._updates import adam, descend, frozen, minus_log, sample_z
from heldout.networks import dcgan
from heldout.networks.joint import JointDiscriminator
from heldout.networks.shape import ImageShape
from heldout.numerics.trimming import squared_error


class Params(ModelParams):
    batch: int = Field(100, ge=2, description="images in one update (EGBAD's code)")
    learning_rate: float = Field(1e-5, gt=0, description="Adam's step size, all networks (EGBAD's code)")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's decay of the mean gradient (EGBAD's code)")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the squared gradient")
    dropout: float = Field(0.5, ge=0, lt=1, description="fraction of D's features dropped in training (EGBAD's code)")
    ema: float = Field(
        0.999, ge=0, lt=1, description="decay of the moving average of the weights (EGBAD's code); 0: no average"
    )
    bounded: bool = Field(False, description="whether tanh bounds the encoder's z to [-1, 1] (ours)")
    latent: int = Field(200, ge=1, description="dimensions of z (EGBAD's code)")
    width: int = Field(64, ge=1, description="channels next to the image; D's dense layers have 8 and 16 times as many")


@registry.model(
    "bigan",
    paper="Donahue et al., ICLR 2017",
    provides=("encoder", "generator", "joint_discriminator", "autoencoder"),
    small={"steps": 2, "batch": 4, "latent": 8, "width": 4},
)
class BiGAN(nn.Module, Model):
    def __init__(self, params: Params, image: ImageShape, rng: torch.Generator) -> None:
        super().__init__()
        self.params = params
        self.encoder = dcgan.Encoder(params.latent, params.width, image, bounded=params.bounded)
        self.generator = dcgan.Generator(params.latent, params.width, image)
        self.joint_discriminator = JointDiscriminator(params.latent, params.width, image, params.dropout)
        dcgan.initialise(self, rng)

    def autoencoder(self, images: Tensor) -> Tensor:
        return self.generator(self.encoder(images))

    def start(self, images: Tensor) -> dict[str, Stateful]:
        made_from = [*self.generator.parameters(), *self.encoder.parameters()]
        self.optim_ge = adam(made_from, self.params)
        self.optim_d = adam(self.joint_discriminator.parameters(), self.params)
        averaged = dict(self.named_children()) if self.params.ema else {}
        move = get_ema_multi_avg_fn(self.params.ema)
        # In a dict, the averages are not part of the model until `finish` replaces its weights by them.
        self.averages = {name: AveragedModel(part, multi_avg_fn=move) for name, part in averaged.items()}
        averages = {f"average of {name}": average for name, average in self.averages.items()}
        return {"generator and encoder": self.optim_ge, "discriminator": self.optim_d, **averages}

    def discriminator_loss(self, encoded: Tensor, generated: Tensor) -> Tensor:
        """Return minus D's objective, of its outputs for the pairs (x, E(x)), which count as real, and (G(z), z)."""
        return minus_log(encoded, is_real=True) + minus_log(generated, is_real=False)

    def generator_loss(self, generated: Tensor) -> Tensor:
        return minus_log(generated, is_real=True)

    def encoder_loss(self, encoded: Tensor) -> Tensor:
        return minus_log(encoded, is_real=False)

    def step(self, draw: Callable[[], Tensor], rng: torch.Generator) -> dict[str, Tensor]:
        """Update the discriminator once, then the generator and the encoder; return the losses."""
        with torch.no_grad():  # G and E are fixed while D is updated
            real, z = draw(), sample_z(self.params, rng)
            code, made = self.encoder(real), self.generator(z)
        discriminator = descend(self.optim_d, self.discriminator_loss(*self.decisions(real, code, made, z, rng)))
        with frozen(self.joint_discriminator):
            real, z = draw(), sample_z(self.params, rng)
            encoded, generated = self.decisions(real, self.encoder(real), self.generator(z), z, rng)
            generator, encoder = self.generator_loss(generated), self.encoder_loss(encoded)
            descend(self.optim_ge, generator + encoder)
        for name, average in self.averages.items():
            average.update_parameters(self.get_submodule(name))
        return {"discriminator": discriminator, "generator": generator.detach(), "encoder": encoder.detach()}

    def image_losses(self, images: Tensor) -> Tensor:
        return squared_error(images, self.autoencoder(images))

    def finish(self, images: Tensor) -> None:
        """Replace the last weights by the averaged ones."""
        for name, average in self.averages.items():
            self.get_submodule(name).load_state_dict(average.module.state_dict())

    def decisions(
        self, real: Tensor, code: Tensor, made: Tensor, z: Tensor, rng: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return D's outputs for pairs (real, code) and (made, z), each kind normalised as a batch of its own."""
        return self.joint_discriminator(real, code, rng), self.joint_discriminator(made, z, rng)
