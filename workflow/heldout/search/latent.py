"""The search for an image in a generator's latent space, shared by ADGAN, AnoGAN and the prior score.

From starting points z_0 ~ N(0, I), `steps` Adam steps minimise l(x, g_theta(z)). They update z alone, or z and a
private copy of the generator's weights for each starting point (theta_lr > 0). The generator itself never changes.

Three options keep z near the prior: a penalty beta ||z||^2 / 2; a projection after each step to the shell
||z|| = sqrt(latent), where most of the mass of N(0, I) lies; or clipping to [-bound, bound].

Source: ADGAN Algorithm 1 and section 3.1 (joint search, many starts); Schlegl et al., IPMI 2017 (z alone). The
restrictions answer the review's obstacle 3 (Anomaly Detection using GANs, SIGKDD Explorations 2024).
Starts are searched in blocks of fixed size (`blocks.py`), each with its own optimiser state and a z_0 that only its
image's key determines. So a result does not depend on the other images, their order or their number.

A search of z alone converts the generator to a faster form (`fixing.py`). A joint search with a squared error uses a
C++ kernel on a CPU (`native/joint_search.py`) and compiled PyTorch on a GPU (`private_weights.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import grad

from heldout.errors import HeldoutError
from heldout.numerics import randomness
from heldout.numerics.blocks import in_blocks
from heldout.search import private_weights
from heldout.search.adam import Adam
from heldout.search.fixing import fixed
from heldout.search.native import joint_search
from heldout.search.native.compiling import Unavailable
from heldout.search.private_weights import Loss, PrivateWeights, PrivateWeightsOfDCGAN


def squared_error(made: Tensor, images: Tensor) -> Tensor:
    return (made.float() - images).square().flatten(1).sum(1)  # (N, C, H, W) -> (N,)


def mean_squared_error(made: Tensor, images: Tensor) -> Tensor:
    return (made.float() - images).square().flatten(1).mean(1)  # (N, C, H, W) -> (N,)


SQUARED_ERRORS = (squared_error, mean_squared_error)


@dataclass(frozen=True)
class Settings:
    """Settings of a search.

    Attributes:
        starts: starting points per image.
        steps: Adam steps from each starting point.
        z_lr, theta_lr: Adam's step sizes on z and on the weights; with theta_lr 0 the weights are fixed.
        beta1, beta2: Adam's decays, for both.
        block: starting points in one forward.
        update: update z and the weights in the same step (`together`), or z first and then the weights with the
            gradient at the new z (`in_turn`).
        read_loss: the loss `after_last_step`, or the loss from which the last step was computed (`at_last_step`);
            neither includes the penalty.
        penalty, restriction, bound: keep z near the prior.
        precision: of the steps in a search of z alone; the results are computed in float32.
        backend: of a joint search: the native kernel, PyTorch with torch.compile, or PyTorch; `auto` uses the kernel on
            a CPU and torch.compile on a GPU if possible.
    """

    starts: int
    steps: int
    z_lr: float
    theta_lr: float
    beta1: float
    beta2: float
    block: int
    update: Literal["together", "in_turn"] = "together"
    read_loss: Literal["after_last_step", "at_last_step"] = "after_last_step"
    penalty: float = 0.0
    restriction: Literal["none", "shell", "clip"] = "none"
    bound: float = 3.0
    precision: Literal["float32", "bfloat16"] = "float32"
    backend: Literal["auto", "native", "compiled", "torch"] = "auto"


@dataclass(frozen=True)
class Found:
    """Results: z `(N, starts, latent)`, losses `(N, starts)` and generated images `made` `(N, starts, C, H, W)`.

    `path`, if requested: z before the first and after every step, `(N, starts, steps + 1, latent)`.
    """

    z: Tensor
    loss: Tensor
    made: Tensor
    path: Tensor | None = None

    @property
    def closest(self) -> Tensor:
        """The generated image with the lowest loss over the starts, `(N, C, H, W)`."""
        return self.made[torch.arange(len(self.made)), self.loss.argmin(dim=1)]


class LatentSearch:
    """A search with one generator and one loss, prepared once for all blocks of images.

    Args:
        generator: z `(N, latent)` -> images; in eval mode; not modified.
        loss: `loss(made, *targets)`, one number per row.
        settings: of the search.

    Attributes:
        backend: of a joint search: `native`, `compiled` or `torch`; None if the weights are fixed.
        why: the reason for the backend, for the log; may be empty.

    Raises:
        HeldoutError: the requested backend cannot do this search, or a joint search is to run in half precision.
    """

    def __init__(self, generator: nn.Module, loss: Loss, settings: Settings) -> None:
        if settings.precision != "float32" and settings.theta_lr > 0:
            raise HeldoutError(
                f"precision: {settings.precision} is for a search of z alone, since steps of the weights are smaller "
                "than its resolution; set theta_lr: 0, or precision: float32"
            )
        self._generator, self._loss, self._settings, self._latent = generator, loss, settings, generator.latent
        self._device = next(generator.parameters()).device
        self.backend, self.why = self._chosen()
        self._search_block: Callable[..., tuple[Tensor, Tensor, Tensor]] | None = None
        if self.backend is None:
            self._generator = fixed(generator)
            self._search_block = self._with_shared_weights
        elif self.backend != "native":
            self._weights = self._private_weights()
            self._search_block = self._with_private_weights

    def find(
        self, targets: tuple[Tensor, ...], keys: Tensor, starts_at: Tensor | None = None, with_path: bool = False
    ) -> Found:
        """Search for every image from every starting point.

        Args:
            targets: further arguments of the loss, one row per image: the images, `(N, C, H, W)` float32 in [-1, 1],
                and tensors computed from them once before the search.
            keys: `(N,)` int64, the seed of each image's starts.
            starts_at: `(N, starts, latent)`, starting points that replace the draws from the prior.
            with_path: whether to return z at every step.
        """
        starts = self._settings.starts
        if starts_at is None:
            starts_at = randomness.starting_points(keys, starts, self._latent).to(targets[0].device)
        if self._search_block is None:
            is_mean = self._loss is mean_squared_error
            found = joint_search.search(self._generator, targets[0], starts_at, self._settings, is_mean, with_path)
            return Found(*found)
        search_block = self._search_block

        def search(z: Tensor, *targets: Tensor) -> tuple[Tensor, ...]:
            visited: list[Tensor] | None = [] if with_path else None
            ends = search_block(_restricted(z, self._settings), targets, visited)
            return ends if visited is None else (*ends, torch.stack(visited, dim=1))

        z = starts_at.flatten(0, 1)  # (N * starts, latent)
        repeated = [rows.repeat_interleave(starts, dim=0) for rows in targets]
        ends = in_blocks(search, z, *repeated, size=self._settings.block)
        return Found(*(rows.unflatten(0, (len(keys), starts)) for rows in ends))

    def _chosen(self) -> tuple[str | None, str]:
        """Return the backend and the reason for it, if a log should show it."""
        settings = self._settings
        if settings.theta_lr == 0 and settings.backend in ("auto", "torch"):
            return None, ""  # a search of z alone has one implementation
        wanted = _by_default(self._device) if settings.backend == "auto" else settings.backend
        try:
            self._check(wanted)
        except Unavailable as reason:
            if settings.backend not in ("auto", "torch"):
                raise HeldoutError(
                    f"backend: {settings.backend} cannot run here: {reason}; set backend: auto"
                ) from reason
            return "torch", str(reason)
        if wanted == "native":
            return wanted, ""
        why = "the device is a GPU" if settings.backend == "auto" else "backend: compiled asks for it"
        return wanted, f"{why}; its first block compiles"

    def _check(self, backend: str) -> None:
        """Raise Unavailable with the reason if a backend cannot do this search."""
        if backend == "torch":
            raise Unavailable("backend: torch asks for it")
        if self._settings.theta_lr == 0:
            raise Unavailable("it needs theta_lr > 0")
        if self._loss not in SQUARED_ERRORS:
            raise Unavailable("the loss is not the squared error")
        if backend == "native":
            joint_search.check(self._generator, self._device)
        else:
            private_weights.check(self._generator, self._device, self._settings.steps)

    def _private_weights(self) -> private_weights.Weights:
        if self._loss in SQUARED_ERRORS and private_weights.why_not_plain(self._generator) is None:
            is_mean, is_compiled = self._loss is mean_squared_error, self.backend == "compiled"
            return PrivateWeightsOfDCGAN(self._generator, self._settings, is_mean, is_compiled)
        return PrivateWeights(self._generator, self._loss, self._settings)

    def _with_shared_weights(
        self, z: Tensor, targets: tuple[Tensor, ...], visited: list[Tensor] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        settings, generator = self._settings, self._generator
        z = z.clone().requires_grad_()
        _visit(z, visited)
        adam = Adam([z], settings.z_lr, settings.beta1, settings.beta2)
        before_step = None
        for _ in range(settings.steps):
            with randomness.autocast(settings.precision, z.device):
                losses = self._loss(generator(z), *targets)
            lowered = losses + _penalty(z, settings)
            (z.grad,) = torch.autograd.grad(lowered.sum(), z)  # gradients of the weights would take half of the time
            before_step = losses.detach()
            adam.step()
            with torch.no_grad():
                z.copy_(_restricted(z, settings))
            _visit(z, visited)
        with torch.no_grad():
            made = generator(z)
            return z.detach(), _reading(before_step, self._loss(made, *targets), settings), made

    @torch.no_grad()
    def _with_private_weights(
        self, z: Tensor, targets: tuple[Tensor, ...], visited: list[Tensor] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        settings, weights = self._settings, self._weights
        penalty = grad(lambda z: _penalty(z, settings).sum())
        z = z.clone()
        _visit(z, visited)
        adam = Adam([z], settings.z_lr, settings.beta1, settings.beta2)
        weights.begin(targets)
        before_step = None
        for _ in range(settings.steps):
            before_step, of_loss = weights.gradient(z, moves=settings.update == "together")
            z.grad = of_loss + penalty(z)
            adam.step()
            z.copy_(_restricted(z, settings))
            if settings.update == "in_turn":
                weights.gradient(z, moves=True)
            _visit(z, visited)
        after, made = weights.end(z)
        return z, _reading(before_step, after, settings), made


def _by_default(device: torch.device) -> str:
    """Return the backend for `auto`: chosen by device only, so that scores never depend on the number of images."""
    return "native" if device.type == "cpu" else "compiled"


def _visit(z: Tensor, visited: list[Tensor] | None) -> None:
    if visited is not None:
        visited.append(z.detach().clone())


def _penalty(z: Tensor, settings: Settings) -> Tensor:
    return settings.penalty * z.square().sum(dim=1) / 2  # (N, latent) -> (N,)


def _restricted(z: Tensor, settings: Settings) -> Tensor:
    if settings.restriction == "shell":
        return z * (z.shape[1] ** 0.5 / z.norm(dim=1, keepdim=True))
    return z.clamp(-settings.bound, settings.bound) if settings.restriction == "clip" else z


def _reading(before_step: Tensor | None, after: Tensor, settings: Settings) -> Tensor:
    return before_step if settings.read_loss == "at_last_step" and before_step is not None else after
