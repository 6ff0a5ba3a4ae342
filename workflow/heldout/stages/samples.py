"""What a trained generator draws, for figures and histories; no score depends on it."""

import torch
from torch import Tensor, nn


def sample(model: nn.Module, count: int, rng: torch.Generator) -> Tensor | None:
    """Return `(count, C, H, W)` images in [-1, 1] from N(0, I), or None where the model has no generator.

    A conditional generator draws its classes in turn. The model is used in the mode that it is in.

    Args:
        model: what it draws with.
        count: how many images.
        rng: source of z, on the CPU.
    """
    is_conditional = hasattr(model, "conditional_generator")
    if not is_conditional and not hasattr(model, "generator"):
        return None
    generator = model.conditional_generator if is_conditional else model.generator
    device = next(model.parameters()).device
    z = torch.randn(count, generator.latent, generator=rng).to(device)
    classes = [torch.arange(count, device=device) % generator.classes] if is_conditional else []
    with torch.no_grad():
        return generator(z, *classes)
