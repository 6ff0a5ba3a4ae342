"""Adam in elementary operations, each rounded once, so that an element's position in a tensor cannot change its bits.

PyTorch's fused Adam processes whole SIMD vectors and rounds the remaining elements of a tensor differently: the result
of a starting point would depend on its position in the block.

Source: Kingma and Ba, ICLR 2015, Algorithm 1. 1 - beta is computed in double precision: in single precision, 1 - beta2
has a relative error of 1e-5, which would increase the error of a search fifty-fold.
"""

import torch
from torch import Tensor

EPSILON = 1e-8


def divisors(step: int, learning_rate: float, beta1: float, beta2: float) -> tuple[float, float]:
    """Return the bias-correction divisors at a step (1-based): for EPSILON and for sqrt(v)."""
    of_mean = (1 - beta1**step) / learning_rate
    return of_mean, of_mean / (1 - beta2**step) ** 0.5


def change(mean: Tensor, square: Tensor, of_epsilon: float | Tensor, of_root: float | Tensor) -> Tensor:
    """Return the update to subtract, from the decayed means of the gradients and of their squares."""
    return mean / (square.sqrt() * of_root + EPSILON * of_epsilon)


class Adam:
    """Updates tensors in place from their `grad`, which may have any memory layout."""

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
