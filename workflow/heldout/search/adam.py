"""Adam in operations that each round once, so that a number's place in a tensor cannot move its bits.

PyTorch's fused Adam takes whole vectors of a processor and rounds otherwise what is left at a tensor's end: whether a
starting point came first or last in its block could be seen in its result.

Source: Kingma and Ba, ICLR 2015, Algorithm 1. What is subtracted from 1 is so in double precision: in single, 1 - beta2
would be off by 1e-5 of itself, and a search's error would grow fifty-fold.
"""

import torch
from torch import Tensor

EPSILON = 1e-8


def divisors(step: int, learning_rate: float, beta1: float, beta2: float) -> tuple[float, float]:
    """Return what `change` divides by in a step, counted from 1: of EPSILON, and of the square's root."""
    of_mean = (1 - beta1**step) / learning_rate
    return of_mean, of_mean / (1 - beta2**step) ** 0.5


def change(mean: Tensor, square: Tensor, of_epsilon: float | Tensor, of_root: float | Tensor) -> Tensor:
    """Return what a step subtracts from weights, by their decayed means of gradients and of their squares."""
    return mean / (square.sqrt() * of_root + EPSILON * of_epsilon)


class Adam:
    """Moves tensors in place by what their `grad` holds; those gradients may lie in memory as they like."""

    def __init__(self, tensors: list[Tensor], learning_rate: float, beta1: float, beta2: float) -> None:
        self._tensors, self._learning_rate, self._betas = tensors, learning_rate, (beta1, beta2)
        self._means = [torch.zeros_like(tensor) for tensor in tensors]
        self._squares = [torch.zeros_like(tensor) for tensor in tensors]
        self._steps = 0

    @torch.no_grad()
    def step(self) -> None:
        self._steps += 1
        beta1, beta2 = self._betas
        by = divisors(self._steps, self._learning_rate, beta1, beta2)
        for tensor, mean, square in zip(self._tensors, self._means, self._squares, strict=True):
            mean.mul_(beta1).add_(tensor.grad * (1 - beta1))
            square.mul_(beta2).add_(tensor.grad.square().mul_(1 - beta2))
            tensor.sub_(change(mean, square, *by))
