"""GANomaly: an autoencoder whose reconstructions are encoded again, trained against a discriminator.

    z = E1(x),  x' = decoder(z),  z' = E2(x')
    L_G = w_adv L_adv + w_con L_con + w_enc L_enc
    L_adv = mean (f(x) - f(x'))^2,  L_con = mean |x - x'|,  L_enc = mean (z - z')^2
    L_D = (BCE(D(x), 1) + BCE(D(x'), 0)) / 2

f is the discriminator's last map before its decision. One Adam updates E1, the decoder and E2, then another updates D;
both gradients come from the same forward, so neither sees the other's update, and D is in training mode in both. The
authors' code runs D twice on each batch, ours once: its running statistics change half as fast.

Source: Akcay, Atapour-Abarghouei, Breckon, ACCV 2018; its equations as the survey restates them (eqs. 8 to 11) and the
authors' code (samet-akcay/ganomaly, lib/ and options.py), from which the defaults come, because it produced their
figures: means where the paper writes norms, weights 1, 50 and 1, Adam with 2e-4 and (0.5, 0.999), batches of 64.
Where the paper differs from the code, a parameter selects its version: `norms: paper` (eqs. 8 to 10 literally),
`learning_rate: 0.002` (not confirmed in its text; zurutech/anomaly-toolbox has it); `adversarial: cross_entropy` is the
code before feature matching was added (2018-10-26).
Deviations: `steps` fixes the length of training, where the code keeps the epoch with the best test AUROC. The first
convolutions of encoders and discriminator have a bias. Every batch is full. As in the code, a reinitialised
discriminator keeps Adam's state and its running statistics.
"""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from heldout import registry
from heldout.models import Model, ModelParams, Stateful
from heldout.models._updates import adam, minus_log
from heldout.networks import dcgan
from heldout.networks.shape import ImageShape
from heldout.numerics.blocks import in_blocks
from heldout.numerics.latent_distance import DISTANCES, all_distances
from heldout.numerics.pixels import to_unit_range
from heldout.numerics.trimming import squared_error


class Params(ModelParams):
    learning_rate: float = Field(2e-4, gt=0, description="Adam's step size (the code's; the paper's is 0.002)")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's decay of the mean gradient")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the squared gradient")
    adversarial_weight: float = Field(1, ge=0, description="weight of L_adv (w_adv)")
    contextual_weight: float = Field(50, ge=0, description="weight of L_con (w_con)")
    encoder_weight: float = Field(1, ge=0, description="weight of L_enc (w_enc)")
    adversarial: Literal["feature_matching", "cross_entropy"] = Field(
        "feature_matching", description="L_adv: by D's features (paper, code), or -log D(x') (the code until 2018-10)"
    )
    norms: Literal["code", "paper"] = Field(
        "code", description="means over all elements, or an image's norms as eqs. 8 to 10 write them"
    )
    reinitialise_below: float = Field(
        1e-5, ge=0, description="D is reinitialised when its loss is below this; 0: never"
    )
    bounded: bool = Field(False, description="whether tanh bounds both codes to [-1, 1] (ours)")
    latent: int = Field(100, ge=1, description="dimensions of z (nz in the code)")
    width: int = Field(64, ge=1, description="channels next to the image (ngf and ndf in the code)")


@registry.model(
    "ganomaly",
    paper="Akcay et al., ACCV 2018",
    provides=("encoder", "decoder", "second_encoder", "discriminator", "autoencoder", "latent_range"),
    small={"steps": 2, "batch": 4, "latent": 8, "width": 4},
)
class GANomaly(nn.Module, Model):
    """The five parts, and the range of the training images' scores.

    Attributes:
        latent_range: `(3, 2)`, the least and the greatest distance between z and z' of a training image after the
            last step, in eval mode, a row for each of DISTANCES: `mean_squared`, `l1`, `l2`.
    """

    def __init__(self, params: Params, image: ImageShape, rng: torch.Generator) -> None:
        super().__init__()
        self.params = params
        self.encoder = dcgan.Encoder(params.latent, params.width, image, bounded=params.bounded)
        self.decoder = dcgan.Generator(params.latent, params.width, image)
        self.second_encoder = dcgan.Encoder(params.latent, params.width, image, bounded=params.bounded)
        self.discriminator = dcgan.Discriminator(params.width, image, batch_norm=True)
        self.register_buffer("latent_range", torch.zeros(len(DISTANCES), 2))
        dcgan.initialise(self, rng)

    def autoencoder(self, images: Tensor) -> Tensor:
        return self.decoder(self.encoder(images))

    def start(self, images: Tensor) -> dict[str, Stateful]:
        generating = (self.encoder, self.decoder, self.second_encoder)
        self.optim_g = adam([weight for part in generating for weight in part.parameters()], self.params)
        self.optim_d = adam(self.discriminator.parameters(), self.params)
        return {"generator": self.optim_g, "discriminator": self.optim_d}

    def adversarial_loss(self, seen: Tensor, seen_made: Tensor) -> Tensor:
        """Return L_adv of D's features of a batch and of its reconstructions."""
        if self.params.adversarial == "cross_entropy":
            return minus_log(self.discriminator.decision(seen_made), is_real=True)
        seen, seen_made = seen.float(), seen_made.float()
        if self.params.norms == "paper":
            return (seen - seen_made.mean(0)).flatten(1).norm(dim=1).mean()  # eq. 8
        return (seen - seen_made).square().mean()

    def contextual_loss(self, real: Tensor, made: Tensor) -> Tensor:
        difference = (real - made).float().abs()
        return difference.flatten(1).sum(1).mean() if self.params.norms == "paper" else difference.mean()  # eq. 9

    def encoder_loss(self, z: Tensor, z_of_made: Tensor) -> Tensor:
        difference = (z - z_of_made).float()
        return difference.norm(dim=1).mean() if self.params.norms == "paper" else difference.square().mean()  # eq. 10

    def discriminator_loss(self, seen: Tensor, seen_made: Tensor) -> Tensor:
        decision = self.discriminator.decision
        return (minus_log(decision(seen), is_real=True) + minus_log(decision(seen_made), is_real=False)) / 2

    def step(self, draw: Callable[[], Tensor], rng: torch.Generator) -> dict[str, Tensor]:
        """Update the encoders and the decoder, then the discriminator, on one batch; return the losses."""
        params, real = self.params, draw()
        z = self.encoder(real)
        made = self.decoder(z)
        # One forward for both losses: each computes the gradients of its own weights alone.
        seen, seen_made = self.discriminator.features(real), self.discriminator.features(made)
        adversarial = self.adversarial_loss(seen.detach(), seen_made)
        contextual = self.contextual_loss(real, made)
        encoder = self.encoder_loss(z, self.second_encoder(made))
        weighted = params.adversarial_weight * adversarial + params.contextual_weight * contextual
        _descend(self.optim_g, weighted + params.encoder_weight * encoder, retain_graph=True)
        discriminator = self.discriminator_loss(seen, seen_made)
        _descend(self.optim_d, discriminator)
        if discriminator < params.reinitialise_below:
            dcgan.initialise(self.discriminator, rng)
        losses = {"adversarial": adversarial, "contextual": contextual, "encoder": encoder}
        return {name: loss.detach() for name, loss in (losses | {"discriminator": discriminator}).items()}

    def image_losses(self, images: Tensor) -> Tensor:
        return squared_error(images, self.autoencoder(images))

    def finish(self, images: Tensor) -> None:
        """Keep the range of the training images' latent distances."""

        def distances(images: Tensor) -> Tensor:
            z = self.encoder(to_unit_range(images))
            return all_distances(z, self.second_encoder(self.decoder(z)))

        (found,) = in_blocks(distances, images, size=self.params.batch)
        self.latent_range.copy_(torch.stack(found.aminmax(dim=0), dim=1))


def _descend(optimiser: torch.optim.Optimizer, loss: Tensor, retain_graph: bool = False) -> None:
    """Take one step down a loss, computing the gradients of the optimiser's own weights alone."""
    optimiser.zero_grad()
    loss.backward(
        inputs=[weight for group in optimiser.param_groups for weight in group["params"]], retain_graph=retain_graph
    )
    optimiser.step()
