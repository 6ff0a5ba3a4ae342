"""DCGAN's generator and discriminator for square images with sides of 2^n pixels, and an encoder like the latter.

The generator doubles a 4x4 map up to the image's side and halves the channels each time; the others mirror it.
`width` is the number of channels next to the image: at 32 pixels the generator has 4, 2 and 1 times `width`.

Source: Radford, Metz, Chintala, ICLR 2016, architecture guidelines and Fig. 1: strided (transposed) convolutions, batch
normalisation except next to the image, ReLU and tanh in the generator, LeakyReLU 0.2 in the discriminator, weights
from N(0, 0.02). Kernels have size 4, as in the authors' and most later codes, not 5 as in Fig. 1; the ADGAN paper
(section 4.2) names DCGAN without widths or kernels.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from heldout.networks.shape import ImageShape

FIRST_SIDE = 4
KERNEL, STRIDE, PADDING = 4, 2, 1  # exactly doubles or halves a side


class Generator(nn.Module):
    """z `(N, latent)` -> images `(N, C, side, side)` in [-1, 1]."""

    def __init__(self, latent: int, width: int, image: ImageShape) -> None:
        super().__init__()
        self.latent = latent
        widths = _widths(width, image)[::-1]
        blocks = [nn.Linear(latent, widths[0] * FIRST_SIDE**2, bias=False)]
        blocks += [nn.Unflatten(1, (widths[0], FIRST_SIDE, FIRST_SIDE)), nn.BatchNorm2d(widths[0]), nn.ReLU()]
        for before, after in pairwise(widths):
            blocks += [nn.ConvTranspose2d(before, after, KERNEL, STRIDE, PADDING, bias=False)]
            blocks += [nn.BatchNorm2d(after), nn.ReLU()]
        blocks += [nn.ConvTranspose2d(widths[-1], image.channels, KERNEL, STRIDE, PADDING, bias=False), nn.Tanh()]
        self.blocks = nn.Sequential(*blocks)

    def forward(self, z: Tensor) -> Tensor:
        return self.blocks(z)


class Discriminator(nn.Module):
    """Images `(N, C, side, side)` -> `(N,)`, without a sigmoid; higher = more like the real images.

    Attributes:
        features: images -> the last feature map, `(N, 4 * width, 4, 4)` at 32 pixels.
    """

    def __init__(self, width: int, image: ImageShape, batch_norm: bool) -> None:
        super().__init__()
        self.features = _halving(width, image, batch_norm)
        self.decision = nn.Conv2d(_widths(width, image)[-1], 1, FIRST_SIDE)

    def forward(self, images: Tensor) -> Tensor:
        return self.decision(self.features(images)).flatten()  # (N, 1, 1, 1) -> (N,)


class Encoder(nn.Module):
    """Images `(N, C, side, side)` -> z `(N, latent)`: the discriminator with `latent` outputs, without bias.

    Source: GANomaly's encoder (samet-akcay/ganomaly lib/networks.py), DCGAN's discriminator without its last layer.

    Args:
        latent: dimensions of z.
        width: channels next to the image.
        image: shape of its input.
        batch_norm: whether to normalise feature maps.
        bounded: whether to apply tanh, so that z is in (-1, 1).
        biases: whether layers have biases, and batch normalisation a scale and a shift.
    """

    def __init__(
        self,
        latent: int,
        width: int,
        image: ImageShape,
        batch_norm: bool = True,
        bounded: bool = False,
        biases: bool = True,
    ) -> None:
        super().__init__()
        self.latent = latent
        self.bounded = bounded
        self.features = _halving(width, image, batch_norm, biases)
        self.code = nn.Conv2d(_widths(width, image)[-1], latent, FIRST_SIDE, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        code = self.code(self.features(images)).flatten(1)  # (N, latent, 1, 1) -> (N, latent)
        return code.tanh() if self.bounded else code


def initialise(network: nn.Module, rng: torch.Generator) -> nn.Module:
    """Initialise every weight from `rng`, on the CPU, and return the network in channels-last layout.

    Weights of convolutions and linear layers: N(0, 0.02). Batch normalisation: scale N(1, 0.02). Biases and shifts: 0.
    Channels-last makes a training step on a CPU faster; files keep the order of the weights.
    """
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
                module.weight.normal_(0, 0.02, generator=rng)
            if isinstance(module, nn.BatchNorm2d) and module.affine:
                module.weight.normal_(1, 0.02, generator=rng)
            if getattr(module, "bias", None) is not None:
                module.bias.zero_()
    return network.to(memory_format=torch.channels_last)


def spectrally_normalised(network: nn.Module, rng: torch.Generator) -> nn.Module:
    """Divide the weight of every convolution and linear layer by its largest singular value, in each forward.

    In training mode, each forward starts with a step of the power method; in eval mode, the singular vectors are fixed.
    They are part of the state; their initial values are drawn from `rng`, on the CPU.

    Source: Miyato, Kataoka, Koyama, Yoshida, ICLR 2018, Algorithm 1; PyTorch's implementation.
    """
    with torch.random.fork_rng(devices=[]):  # PyTorch draws the vectors from the global generator
        torch.default_generator.manual_seed(int(torch.randint(2**62, (), generator=rng)))
        for module in list(network.modules()):  # a list, since each normalisation adds modules
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
                spectral_norm(module)
    return network


def _halving(width: int, image: ImageShape, batch_norm: bool, biases: bool = True) -> nn.Sequential:
    """Images -> `(N, 4 * width, 4, 4)` at 32 pixels; no batch normalisation next to the image."""
    widths = _widths(width, image)
    blocks = [nn.Conv2d(image.channels, widths[0], KERNEL, STRIDE, PADDING, bias=biases), nn.LeakyReLU(0.2)]
    for before, after in pairwise(widths):
        blocks += [nn.Conv2d(before, after, KERNEL, STRIDE, PADDING, bias=biases and not batch_norm)]
        blocks += [nn.BatchNorm2d(after, affine=biases)] if batch_norm else []
        blocks += [nn.LeakyReLU(0.2)]
    return nn.Sequential(*blocks)


def _widths(width: int, image: ImageShape) -> list[int]:
    halvings = (image.side // FIRST_SIDE).bit_length() - 1
    assert FIRST_SIDE << halvings == image.side, f"{image.side} is not a power of two"
    return [width << level for level in range(halvings)]
