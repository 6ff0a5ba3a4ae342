"""The loss of each training image, by which `trim` and `refit` drop the images that the model finds anomalous.

Every model defines this loss (`Model.image_losses`): the squared error of an autoencoder, -D(x) of a GAN without
encoder, the distance to the centre of Deep SVDD, or the distance to the nearest sample of a lone generator.

Source: `trim` updates only on the images with the lowest losses: iterative trimmed loss minimisation (Shen, Sanghavi,
ICML 2019), here within each batch. `refit` trains again without the images that a first training finds most anomalous:
one round of iterative refinement. The review names contaminated training sets as an obstacle.
Deviations: both papers assume a loss per image; for a GAN, the discriminator is the nearest equivalent.
"""

import torch
from torch import Tensor, nn

from heldout.numerics.blocks import in_blocks


@torch.no_grad()
def image_losses(model: nn.Module, images: Tensor, classes: Tensor | None = None) -> Tensor:
    """Return each image's loss, `(N,)` float32, higher = more anomalous. The model is not modified.

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
    """Return the squared distance of each row to the same row of `others`, or to its only row, in float32: `(N,)`."""
    return (rows.float() - others.float()).flatten(1).square().sum(1)
