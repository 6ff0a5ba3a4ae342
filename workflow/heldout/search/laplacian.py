"""Distance of two images by their Laplacian pyramids: it weights edges at all scales, coarse ones more.

    Lap1(x, y) = sum_j 2^(2j) ||L_j(x) - L_j(y)||_1

L_j is the j-th band, from fine to coarse; the last one is the low-pass residual of 4x4 pixels.

Source: Ling, Okada, CVPR 2006, proposed in the ADGAN paper's conclusion; weights as in GLO (Bojanowski, Joulin,
Lopez-Paz, Szlam, ICML 2018). Pyramid: Burt and Adelson, IEEE Trans. Communications 1983, with a binomial filter of five
taps and images mirrored at their borders.
"""

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

COARSEST = 4  # pixels a side
BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def laplacian_distance(made: Tensor, images: Tensor) -> Tensor:
    """Return Lap1 of images `(N, C, H, W)`, square and of 2^n pixels a side, as `(N,)`."""
    left = made - images  # the pyramid is linear, so one of the difference suffices
    distance, weight = torch.zeros_like(left[:, 0, 0, 0]), 1
    while left.shape[-1] > COARSEST:
        coarser = _blurred(left)[:, :, ::2, ::2]
        distance = distance + weight * (left - _expanded(coarser)).abs().flatten(1).sum(1)
        left, weight = coarser, 4 * weight
    return distance + weight * left.abs().flatten(1).sum(1)


def _blurred(images: Tensor) -> Tensor:
    taps = images.new_tensor(BINOMIAL)
    kernel = torch.outer(taps, taps).expand(images.shape[1], 1, -1, -1)
    return conv2d(pad(images, (2, 2, 2, 2), mode="reflect"), kernel, groups=images.shape[1])


def _expanded(images: Tensor) -> Tensor:
    """Double the side: insert zeros between the pixels, then apply the same filter times four."""
    for dimension in (2, 3):
        images = torch.stack([images, torch.zeros_like(images)], dim=dimension + 1).flatten(dimension, dimension + 1)
    return 4 * _blurred(images)
