"""One step of an optimiser, as every objective takes it, and the original GAN's logarithms."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim import Optimizer
from torch.optim.lr_scheduler import MultiStepLR


def descend(optimiser: Optimizer, loss: Tensor) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Let gradients flow through a network without computing those of its weights."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


def minus_log(logits: Tensor, is_real: bool) -> Tensor:
    """Mean of -log D where `is_real`, else of -log(1 - D), of a discriminator's outputs before the sigmoid."""
    logits = logits.float()  # a bfloat16 logarithm of a confident decision would round to 0
    target = torch.ones_like(logits) if is_real else torch.zeros_like(logits)
    return binary_cross_entropy_with_logits(logits, target)


def tenfold_lower(optimiser: Optimizer, share: float, steps: int) -> MultiStepLR:
    """Return what, stepped after each of `steps` updates, divides the step size by 10 after that share of them."""
    return MultiStepLR(optimiser, [max(round(share * steps), 1)], gamma=0.1)
