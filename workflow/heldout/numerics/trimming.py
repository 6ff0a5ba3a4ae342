"""Which training images a model itself takes for anomalies: what remedies against a contaminated training set ask.

An image's loss is, by the first of these parts that the model has:
    autoencoder         ||x - x'||^2
    embedding, centre   ||f(x) - c||^2; the same for all as long as there is no c
    discriminator       -D(x), of a conditional model given the class that it was told
    generator           the least ||x - g(z)||^2 over one batch of z ~ N(0, I), the same for all images and seeds

Source: `trim`, training on the images with the lowest losses alone: iterative trimmed loss minimisation (Shen and
Sanghavi, ICML 2019), here within each batch. `refit`, training anew without the images that a first training finds
most anomalous: iterative refinement, once; the review names contaminated training sets as an obstacle.
Deviations: both papers are about models with a loss per image; a GAN's discriminator is the nearest that it has to one.
"""

from typing import Any

import torch
from torch import Tensor, nn

from heldout.numerics import randomness
from heldout.numerics.blocks import in_blocks


@torch.no_grad()
def image_losses(model: nn.Module, images: Tensor, classes: Tensor | None = None) -> Tensor:
    """Return each image's loss, `(N,)` float32, higher = more anomalous; the model comes back as it was.

    Args:
        model: in training mode, on the images' device.
        images: `(N, C, H, W)` float32 in [-1, 1].
        classes: for a conditional model, the class numbers that it was told, `(N,)`.
    """
    model.eval()
    rows = (images,) if classes is None else (images, classes)
    (losses,) = in_blocks(_loss_of(model, images), *rows, size=model.params.batch)
    model.train()
    return losses


def _loss_of(model: nn.Module, images: Tensor) -> Any:
    if hasattr(model, "autoencoder"):
        return lambda images: _squared(images - model.autoencoder(images).float())
    if hasattr(model, "embedding"):
        has_centre = float(model.centre.any())
        return lambda images: _squared(model.embedding(images).float() - model.centre) * has_centre
    if hasattr(model, "discriminator"):
        return lambda images, *classes: -model.discriminator(images, *classes).float()
    z = torch.randn(model.params.batch, model.params.latent, generator=randomness.generator("trimming"))
    made = model.generator(z.to(images.device)).float().flatten(1)
    return lambda images: torch.cdist(images.flatten(1), made).min(dim=1).values.square()


def _squared(difference: Tensor) -> Tensor:
    return difference.flatten(1).square().sum(1)  # (N, ...) -> (N,)
