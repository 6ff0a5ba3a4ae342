"""Discriminator of pairs: an image with its code, or a generated image with its z.

    features(x, z) = layer([features(x), layer(z)]),  D(x, z) = decision(features(x, z))

Source: the discriminator of EGBAD for MNIST (houssamzenati/Efficient-GAN-Anomaly-Detection, bigan/mnist_utilities.py):
layers of 512 units for z and 1024 for the pair, LeakyReLU 0.1 and dropout after each. Ours have 8 and 16 times `width`
units, and DCGAN's convolutions for the image.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from heldout.networks import dcgan
from heldout.networks.shape import ImageShape

SLOPE = 0.1


class JointDiscriminator(nn.Module):
    """Images `(N, C, side, side)` and z `(N, latent)` -> `(N,)`, without a sigmoid; higher = an image with its code.

    `drops` is the generator for dropout in training; None disables dropout.
    """

    def __init__(self, latent: int, width: int, image: ImageShape, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        discriminator = dcgan.Discriminator(width, image, batch_norm=True)
        seen = discriminator.decision.weight[0].numel()
        self.image_features = discriminator.features
        self.code_features = nn.Linear(latent, 8 * width)
        self.joint_features = nn.Linear(seen + 8 * width, 16 * width)
        self.decision = nn.Linear(16 * width, 1)

    def features(self, images: Tensor, z: Tensor, drops: torch.Generator | None = None) -> Tensor:
        """Return the layer before the decision, `(N, 16 * width)`."""
        seen = self._drop(self.image_features(images).flatten(1), drops)
        code = self._drop(leaky_relu(self.code_features(z), SLOPE), drops)
        return self._drop(leaky_relu(self.joint_features(torch.cat([seen, code], dim=1)), SLOPE), drops)

    def forward(self, images: Tensor, z: Tensor, drops: torch.Generator | None = None) -> Tensor:
        return self.decision(self.features(images, z, drops)).squeeze(1)  # (N, 1) -> (N,)

    def _drop(self, features: Tensor, drops: torch.Generator | None) -> Tensor:
        """Apply dropout as `nn.Dropout` does, which would use the global generator."""
        if drops is None or self.dropout == 0:
            return features
        kept = torch.rand(features.shape, generator=drops, device=features.device) >= self.dropout
        return features * kept / (1 - self.dropout)
