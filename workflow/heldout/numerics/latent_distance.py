"""Distances between codes of image and reconstruction: GANomaly's code (mean squared), paper (l1), survey (l2).

Each maps two tensors `(N, latent)` to `(N,)`.
"""

import torch
from torch import Tensor


def mean_squared(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).square().mean(dim=1)  # (N, latent) -> (N,)


def l1(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().sum(dim=1)


def l2(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).square().sum(dim=1).sqrt()


DISTANCES = {"mean_squared": mean_squared, "l1": l1, "l2": l2}


def all_distances(a: Tensor, b: Tensor) -> Tensor:
    """Return `(N, 3)`, one column for each of DISTANCES."""
    return torch.stack([distance(a, b) for distance in DISTANCES.values()], dim=1)
