"""Private copies of a generator's weights, one for each starting point of a block, updated by Adam in PyTorch.

`PrivateWeights` supports any generator and loss. `PrivateWeightsOfDCGAN` supports DCGAN's generator and the squared
error, on a GPU or if the native kernel does not compile. Its mathematics is the same; it saves memory traffic in the
same way as native/joint_search.cpp:

* A transposed convolution is a product with private weights and a fold of the columns; its gradients are products too.
  Compiled, all operations between two products are one loop over memory that includes Adam.
* The first step reads the shared weights and no moments; the last step stores no moments.
* The first layer's gradient is an outer product, z times the gradient of the layer's output. Its moments, more than
  half of all, are recomputed from these vectors of the previous steps: cheap for the few steps of Algorithm 1.

Memory per start in a block: the weights and the two moments of all layers but the first; while a layer is updated, up
to four more copies of its weights (one if compiled). At width 64 and 32x32 pixels this is 12 MB, and temporarily 17 MB
more. `resources.py` requests this amount.

All products and sums are within one start, and the data of a start are aligned to a multiple of 16 floats, because the
summation order of BLAS depends on alignment. So a result does not depend on the other rows or the position of a row.

Compilation changes the last bits and takes about a minute; it pays only for many images. But the number of images must
not influence a score. So the parameter `backend` decides, which is part of a score's identity, or with `auto` the kind
of device, which is recorded beside the score.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.nn import functional
from torch.nn.utils.parametrize import is_parametrized

from heldout.networks.dcgan import FIRST_SIDE, KERNEL, PADDING, STRIDE, Generator
from heldout.search.adam import Adam, change, divisors
from heldout.search.native.compiling import Unavailable

Loss = Callable[..., Tensor]  # made images (N, C, H, W) and the targets, N rows each -> (N,)
# A level is batch normalisation, ReLU and transposed convolution. Per start: scale and shift (starts, C), and kernel
# (starts, C, 16 * C') with columns ordered by kernel row, kernel column and channel.
Level = tuple[Tensor, Tensor, Tensor]
Statistics = tuple[Tensor, Tensor]  # of a batch normalisation: mean and 1 / deviation, (C,)

ALIGNED = 16  # floats in the widest SIMD vector
# By default PyTorch's compiler would store the first layer's moments: they take many operations and are read often.
ONE_LOOP = {"realize_acc_reads_threshold": 64, "realize_reads_threshold": 64, "realize_opcount_threshold": 400}
MOST_STEPS = 20  # if compiled: each step adds a term to the sums of the first layer


class Weights(Protocol):
    """The private weights of a block; z is `(starts, latent)`, and `targets` have one row per start."""

    def begin(self, targets: tuple[Tensor, ...]) -> None:
        """Reset the weights of every start to the generator's."""

    def gradient(self, z: Tensor, moves: bool) -> tuple[Tensor, Tensor]:
        """Return the losses and the gradient of z; with `moves`, also update the weights by an Adam step."""

    def end(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the final losses and generated images `(starts, C, H, W)`; the next call must be `begin`."""


class PrivateWeights:
    """`Weights` for any generator and loss."""

    def __init__(self, generator: nn.Module, loss: Loss, settings: Any) -> None:
        self._generator, self._settings = generator, settings

        def loss_of_one(weights: dict[str, Tensor], z: Tensor, *target: Tensor) -> tuple[Tensor, Tensor]:
            made = functional_call(generator, weights, (z.unsqueeze(0),))
            return loss(made, *(row.unsqueeze(0) for row in target)).squeeze(0), made.squeeze(0)

        self._losses = vmap(loss_of_one)
        self._gradients = vmap(grad_and_value(loss_of_one, argnums=(0, 1), has_aux=True))

    def begin(self, targets: tuple[Tensor, ...]) -> None:
        self._targets, settings = targets, self._settings
        self._weights = {
            name: weight.detach().expand(len(targets[0]), *weight.shape).contiguous()
            for name, weight in self._generator.named_parameters()
        }
        self._adam = Adam(list(self._weights.values()), settings.theta_lr, settings.beta1, settings.beta2)

    def gradient(self, z: Tensor, moves: bool) -> tuple[Tensor, Tensor]:
        (of_weights, of_z), (losses, _) = self._gradients(self._weights, z, *self._targets)
        if moves:
            for name, weight in self._weights.items():
                weight.grad = of_weights[name]
            self._adam.step()
        return losses, of_z

    def end(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self._losses(self._weights, z, *self._targets)


class PrivateWeightsOfDCGAN:
    """`Weights` for DCGAN's generator and the squared error, with the images as the only target.

    Args:
        generator: in eval mode, accepted by `why_not_plain`.
        settings: `search.Settings`; every block has `settings.block` starts.
        mean: whether the loss is the mean of the squared error over pixels instead of its sum.
        compiled: whether to use torch.compile.
    """

    def __init__(self, generator: Generator, settings: Any, mean: bool, compiled: bool) -> None:
        self._settings, self._mean, self._is_compiled = settings, mean, compiled
        starts, latent = settings.block, generator.latent
        self._padding = (0, -latent % ALIGNED)
        linear = generator.blocks[0].weight.detach().unflatten(0, (-1, FIRST_SIDE**2)).transpose(0, 1).flatten(0, 1)
        linear = functional.pad(linear, self._padding)  # (16 * C, latent), by pixel and channel
        normalisations = [layer for layer in generator.blocks if isinstance(layer, nn.BatchNorm2d)]
        convolutions = [layer for layer in generator.blocks if isinstance(layer, nn.ConvTranspose2d)]
        self._statistics = [(norm.running_mean, (norm.running_var + norm.eps).rsqrt()) for norm in normalisations]
        levels = [
            (norm.weight.detach(), norm.bias.detach(), conv.weight.detach().permute(0, 2, 3, 1).flatten(1))
            for norm, conv in zip(normalisations, convolutions, strict=True)
        ]
        self._shared_linear = linear.expand(starts, *linear.shape)  # a view: all starts read one copy
        self._shared = [tuple(weight.expand(starts, *weight.shape) for weight in level) for level in levels]
        self._own_linear = linear.new_empty(self._shared_linear.shape)
        self._own, self._means, self._squares = (
            [tuple(weight.new_empty(starts, *weight.shape) for weight in level) for level in levels] for _ in range(3)
        )
        self._past_z = linear.new_empty(starts, settings.steps, linear.shape[1])  # per step, the newest first
        self._past_du = linear.new_empty(starts, settings.steps, linear.shape[0])
        self._weights_of_past = [
            linear.new_tensor([(1 - beta) * beta**age for age in range(settings.steps)]).unsqueeze(1)
            for beta in (settings.beta1, settings.beta2)
        ]
        by = [divisors(step + 1, settings.theta_lr, settings.beta1, settings.beta2) for step in range(settings.steps)]
        self._divisors = [tuple(linear.new_tensor(value) for value in pair) for pair in by]

    def begin(self, targets: tuple[Tensor, ...]) -> None:
        (images,) = targets
        self._target = images.flatten(2).transpose(1, 2).contiguous()  # (starts, pixels, C)
        self._side = images.shape[-1]
        self._linear, self._levels = self._shared_linear, self._shared
        self._past_z.zero_()
        self._past_du.zero_()
        self._moves, self._is_linear_behind = 0, False

    def gradient(self, z: Tensor, moves: bool) -> tuple[Tensor, Tensor]:
        settings, moved = self._settings, self._moves
        padded = functional.pad(z, self._padding)
        u = self._first_map(padded, self._own_linear)
        step = None
        if moves:
            is_first, is_last = moved == 0, moved + 1 == settings.steps
            moments = (self._means, self._squares)
            step = Step(self._own, *moments, is_first, is_last, settings.beta1, settings.beta2, self._divisors[moved])
        losses, dz, du = self._run(_gradient)(
            u, self._linear, self._levels, self._statistics, self._target, self._mean, step
        )
        if moves:
            self._past_z = torch.cat([padded.unsqueeze(1), self._past_z[:, :-1]], dim=1)
            self._past_du = torch.cat([du.unsqueeze(1), self._past_du[:, :-1]], dim=1)
            self._levels, self._moves, self._is_linear_behind = self._own, moved + 1, True
        return losses, dz[:, : z.shape[1]]

    def end(self, z: Tensor) -> tuple[Tensor, Tensor]:
        u = self._first_map(functional.pad(z, self._padding), None)
        losses, made = self._run(_end)(u, self._levels, self._statistics, self._target, self._mean)
        return losses, made.transpose(1, 2).unflatten(2, (self._side, self._side)).contiguous()

    def _first_map(self, padded: Tensor, to: Tensor | None) -> Tensor:
        """Return the first layer's output, (starts, 16 * C), after its pending weight update, which needs the new z."""
        if not self._is_linear_behind:
            return _applied(self._linear, padded)
        of_mean, of_square = self._weights_of_past
        past_of_mean = self._past_z * of_mean, self._past_du
        past_of_square = self._past_z.square() * of_square, self._past_du.square()
        by = self._divisors[self._moves - 1]
        u = self._run(_first_map)(self._linear, to, past_of_mean, past_of_square, padded, by, self._is_compiled)
        self._linear, self._is_linear_behind = to, False
        return u

    def _run(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return _compiled(function) if self._is_compiled else function


class Step(NamedTuple):
    """State of an Adam step of all weights but the first layer's, from the current weights to those in `to`."""

    to: list[Level]
    means: list[Level]
    squares: list[Level]
    is_first: bool
    is_last: bool
    beta1: float
    beta2: float
    divisors: tuple[
        Tensor, Tensor
    ]  # as adam.divisors; tensors, since numbers would cause a recompilation at every step


def check(generator: nn.Module, device: torch.device, steps: int) -> None:
    """Raise Unavailable with the reason if a search of this generator with `steps` steps cannot be compiled here."""
    reason = why_not_plain(generator)
    if steps > MOST_STEPS:
        reason = f"it has {steps} steps, and {MOST_STEPS} at most are compiled"
    reason = reason or _why_not_compiled(device)
    if reason:
        raise Unavailable(reason)


def why_not_plain(generator: nn.Module) -> str | None:
    """Return None for networks/dcgan.py's generator with plain float32 weights, else the reason why it is not."""
    if type(generator) is not Generator or any(map(is_parametrized, generator.modules())):
        return "the generator is not a plain DCGAN"
    if any(weight.dtype != torch.float32 for weight in generator.parameters()):
        return "its weights are not float32"
    return None


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    # The first, last and other steps are compiled separately for each setting in a process; PyTorch's limit is eight.
    # `fullgraph` makes a failure raise; otherwise PyTorch would use its operators, which give other last bits.
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 64)
    return torch.compile(function, fullgraph=True, dynamic=False, options=ONE_LOOP)


@cache
def _why_not_compiled(device: torch.device) -> str | None:
    """Compile one line of code: g++, Python's headers or Triton may be missing, or the GPU unsupported."""
    try:
        _compiled(_losses)(*torch.zeros(2, 1, ALIGNED, 1, device=device), mean=True)
    except Exception as error:  # after any failure, PyTorch's operators compute the same
        return f"torch.compile fails: {str(error).strip().splitlines()[0]}"
    return None


def _end(
    u: Tensor, levels: list[Level], statistics: list[Statistics], target: Tensor, mean: bool
) -> tuple[Tensor, Tensor]:
    made, _ = _forward(u, levels, statistics)
    return _losses(made, target, mean), made


def _gradient(
    u: Tensor,
    linear: Tensor,
    levels: list[Level],
    statistics: list[Statistics],
    target: Tensor,
    mean: bool,
    step: Step | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the losses and their gradients by z and by the first layer's output u; update the levels."""
    made, passed = _forward(u, levels, statistics)
    factor = 2 / target[0].numel() if mean else 2
    d = (made - target) * (1 - made.square()) * factor  # through tanh
    for number in reversed(range(len(levels))):
        (gain, _, kernel), (_, inverse), (normal, x) = levels[number], statistics[number], passed[number]
        columns = _unfolded(d)
        before = torch.bmm(columns, kernel.transpose(1, 2)) * (x > 0)
        d = before * (gain.unsqueeze(1) * inverse)
        if step:  # last, since it overwrites the weights read above
            of_kernel = torch.bmm(x.transpose(1, 2), columns)
            _take(step, number, levels[number], ((before * normal).sum(1), before.sum(1), of_kernel))
    du = d.flatten(1)
    return _losses(made, target, mean), torch.bmm(du.unsqueeze(1), linear).squeeze(1), du


def _forward(
    u: Tensor, levels: list[Level], statistics: list[Statistics]
) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Return the images (starts, pixels, C), and for each level the normalised map and its ReLU."""
    passed = []
    u = u.unflatten(1, (FIRST_SIDE**2, -1))
    for (gain, shift, kernel), (mean, inverse) in zip(levels, statistics, strict=True):
        normal = (u - mean) * inverse
        x = (normal * gain.unsqueeze(1) + shift.unsqueeze(1)).relu()
        passed.append((normal, x))
        u = _folded(torch.bmm(x, kernel))
    return u.tanh(), passed


def _losses(made: Tensor, target: Tensor, mean: bool) -> Tensor:
    squares = (made - target).square().flatten(1)
    return squares.mean(1) if mean else squares.sum(1)


def _take(step: Step, number: int, level: Level, gradients: Level) -> None:
    for of_level, gradient in enumerate(gradients):
        mean, square = (moments[number][of_level] for moments in (step.means, step.squares))
        new_mean, new_square = gradient * (1 - step.beta1), gradient.square() * (1 - step.beta2)
        if not step.is_first:
            new_mean, new_square = mean * step.beta1 + new_mean, square * step.beta2 + new_square
        if not step.is_last:
            mean.copy_(new_mean)
            square.copy_(new_square)
        step.to[number][of_level].copy_(level[of_level] - change(new_mean, new_square, *step.divisors))


def _first_map(
    linear: Tensor,
    to: Tensor | None,
    past_of_mean: tuple[Tensor, Tensor],
    past_of_square: tuple[Tensor, Tensor],
    z: Tensor,
    by: tuple[Tensor, Tensor],
    is_compiled: bool,
) -> Tensor:
    """Update the first layer's weights, store them in `to` if given, and apply them to z.

    The moments are sums over steps of outer products of two factors: for z (starts, steps, latent) and for the output.
    """
    sum_of_products = _sum_never_stored if is_compiled else _sum_by_blas
    moved = linear - change(sum_of_products(*past_of_mean), sum_of_products(*past_of_square), *by)
    if to is not None:
        to.copy_(moved)
    return (moved * z.unsqueeze(1)).sum(2) if is_compiled else _applied(moved, z)


def _sum_never_stored(rows: Tensor, columns: Tensor) -> Tensor:
    return sum(columns[:, step, :, None] * rows[:, step, None] for step in range(rows.shape[1]))


def _sum_by_blas(rows: Tensor, columns: Tensor) -> Tensor:
    return torch.bmm(columns.transpose(1, 2), rows)


def _applied(linear: Tensor, z: Tensor) -> Tensor:
    # With z as a column, BLAS is 2 to 4 times slower.
    return torch.bmm(z.unsqueeze(1), linear.transpose(1, 2)).squeeze(1)


def _folded(columns: Tensor) -> Tensor:
    """Sum the overlaps of a transposed convolution: columns (starts, pixels, 16 * C) -> (starts, 4 * pixels, C).

    Output row 2i is the sum of input row i with kernel row 1 and input row i - 1 with kernel row 3; output row 2i + 1
    that of row i with kernel row 2 and row i + 1 with kernel row 0. The same holds for columns.
    """
    pixels = columns.shape[1]
    side = math.isqrt(pixels)
    spread = columns.unflatten(2, (KERNEL, KERNEL, -1)).unflatten(1, (side, side))  # (starts, h, w, ky, kx, C)
    even = spread[:, :, :, 1] + functional.pad(spread[:, :-1, :, 3], (0, 0, 0, 0, 0, 0, 1, 0))
    odd = spread[:, :, :, 2] + functional.pad(spread[:, 1:, :, 0], (0, 0, 0, 0, 0, 0, 0, 1))
    rows = torch.stack([even, odd], dim=2)  # (starts, h, 2, w, kx, C)
    even = rows[..., 1, :] + functional.pad(rows[:, :, :, :-1, 3], (0, 0, 1, 0))
    odd = rows[..., 2, :] + functional.pad(rows[:, :, :, 1:, 0], (0, 0, 0, 1))
    return torch.stack([even, odd], dim=4).reshape(len(columns), 4 * pixels, -1)


def _unfolded(d: Tensor) -> Tensor:
    """The transpose of `_folded`: (starts, 4 * pixels, C) -> (starts, pixels, 16 * C)."""
    starts, large, channels = d.shape
    side = math.isqrt(large)
    around = functional.pad(d.unflatten(1, (side, side)), (0, 0, PADDING, PADDING, PADDING, PADDING))
    seen = around.unfold(1, KERNEL, STRIDE).unfold(2, KERNEL, STRIDE)  # (starts, h, w, C, ky, kx)
    return seen.permute(0, 1, 2, 4, 5, 3).reshape(starts, large // 4, KERNEL * KERNEL * channels)
