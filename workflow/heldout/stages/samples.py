"""Samples of a trained generator, for figures and histories; no score depends on them."""

from typing import Any

import torch
from torch import Tensor

from heldout import registry


def sample(name: str, model: Any, count: int, rng: torch.Generator) -> Tensor | None:
    """Return `(count, C, H, W)` images in [-1, 1] for z from N(0, I), or None if the model provides no generator.

    A conditional generator gets the classes in turn. The model's mode (training or eval) does not change.

    Args:
        name: the registered name of `model`.
        model: the model.
        count: number of images.
        rng: source of z, on the CPU.
    """
    provides = registry.load("model", name).facts["provides"]
    is_conditional = "conditional_generator" in provides
    if not is_conditional and "generator" not in provides:
        return None
    generator = model.conditional_generator if is_conditional else model.generator
    device = next(model.parameters()).device
    z = torch.randn(count, generator.latent, generator=rng).to(device)
    classes = [torch.arange(count, device=device) % generator.classes] if is_conditional else []
    with torch.no_grad():
        return generator(z, *classes)
