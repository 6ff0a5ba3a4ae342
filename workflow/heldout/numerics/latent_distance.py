"""Distances between an image's code and its reconstruction's: those of GANomaly's paper, of its code and of the survey.

Each gives one number per row, `(N, latent)` twice -> `(N,)`; higher = further apart.
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
    """Return `(N, 3)`, a column for each of DISTANCES in its order."""
    return torch.stack([distance(a, b) for distance in DISTANCES.values()], dim=1)
