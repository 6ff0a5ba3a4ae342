"""Each training image's loss, by which `trim` and `refit` leave out what a model itself finds anomalous.

Every model states its loss (`Model.image_losses`): an autoencoder its squared error, a GAN without encoder -D(x), Deep
SVDD the distance to its centre, and a generator alone the distance to its nearest sample.

Source: `trim`, updates on the images with the lowest losses alone, is iterative trimmed loss minimisation (Shen,
Sanghavi, ICML 2019), here within each batch. `refit`, training anew without the images that a first training finds most
anomalous, is iterative refinement, once; the review names contaminated training sets as an obstacle.
Deviations: both papers are about models with a loss per image; for a GAN, its discriminator is the nearest equivalent.
"""

import torch
from torch import Tensor, nn

from heldout.numerics.blocks import in_blocks


@torch.no_grad()
def image_losses(model: nn.Module, images: Tensor, classes: Tensor | None = None) -> Tensor:
    """Return each image's loss, `(N,)` float32, higher = more anomalous; the model is left unchanged.

    Args:
        model: a `models.Model`, in training mode, on the images' device.
        images: `(N, C, H, W)` float32 in [-1, 1].
        classes: for a conditional model, the images' class numbers, `(N,)` int64.
    """
    model.eval()
    rows = (images,) if classes is None else (images, classes)
    (losses,) = in_blocks(model.image_losses, *rows, size=model.params.batch)
    model.train()
    return losses


def squared_error(rows: Tensor, others: Tensor) -> Tensor:
    """Return the squared distance of each row, added up in float32: `(N, ...)` and as many or one -> `(N,)`."""
    return (rows.float() - others.float()).flatten(1).square().sum(1)
