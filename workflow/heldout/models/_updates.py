"""Shared by the objectives: an optimiser's update, draws of z, and the original GAN's losses."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import MultiStepLR


def adam(weights: Iterable[nn.Parameter], params: Any, weight_decay: float = 0.0) -> Adam:
    """Return Adam with a model's `learning_rate`, `beta1` and `beta2`."""
    betas = (params.beta1, params.beta2)
    return Adam(weights, params.learning_rate, betas, weight_decay=weight_decay, fused=True)


def tenfold_lower(optimiser: Optimizer, share: float, steps: int) -> MultiStepLR:
    """Return a schedule, stepped after each of `steps` updates, that divides the step size by 10 after that share."""
    return MultiStepLR(optimiser, [max(round(share * steps), 1)], gamma=0.1)


def descend(optimiser: Optimizer, loss: Tensor) -> Tensor:
    """Take one step of the optimiser down the loss; return the loss, detached."""
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.detach()


@contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Let gradients flow through a network without computing those of its weights."""
    network.requires_grad_(False)
    try:
        yield
    finally:
        network.requires_grad_(True)


def sample_z(params: Any, rng: torch.Generator) -> Tensor:
    """Return `(batch, latent)` draws from N(0, I), by a model's parameters, on the generator's device."""
    return torch.randn(params.batch, params.latent, generator=rng, device=rng.device)


def minus_log(logits: Tensor, is_real: bool) -> Tensor:
    """Return the mean of -log D if `is_real`, else of -log(1 - D); `logits` are D before the sigmoid, `(N,)`."""
    logits = logits.float()  # in bfloat16, the logarithm of a confident decision would round to 0
    target = torch.ones_like(logits) if is_real else torch.zeros_like(logits)
    return binary_cross_entropy_with_logits(logits, target)
