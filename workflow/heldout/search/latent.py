"""The search for an image in a generator's latent space, shared by ADGAN, AnoGAN and the prior score.

From starting points z_0 ~ N(0, I), `steps` Adam steps lower l(x, g_theta(z)), moving z alone, or z and a private copy
of the generator's weights for each starting point (theta_lr > 0). The generator itself never changes.

z may be kept where the prior puts it: a penalty beta ||z||^2 / 2 beside the loss, or after each step a projection to
the shell ||z|| = sqrt(latent), where nearly all of N(0, I) lies, or a clipping to [-bound, bound].

Source: ADGAN Algorithm 1 and section 3.1 (joint search, many starts); Schlegl et al., IPMI 2017 (z alone). The
restrictions answer the review's obstacle 3 (Anomaly Detection using GANs, SIGKDD Explorations 2024).
Every point is searched in a block of fixed size (`blocks.py`), with an optimiser state of its own, from starts that
only its image's key determines: a result depends on neither the neighbours, nor their order, nor their number.
Where z alone moves, the generator is first put into a faster form (`fixing.py`).
On a CPU the joint search of a squared error runs by a C++ kernel (`native/joint_search.py`), in a fraction of the time,
and on a GPU by compiled PyTorch (`private_weights.py`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import grad

from heldout import registry
from heldout.errors import HeldoutError
from heldout.numerics import randomness
from heldout.numerics.blocks import in_blocks
from heldout.search import backends, private_weights
from heldout.search.adam import Adam
from heldout.search.fixing import fixed
from heldout.search.native import joint_search
from heldout.search.native.compiling import Unavailable
from heldout.search.private_weights import Loss, PrivateWeights, PrivateWeightsOfDCGAN, Weights


def squared_error(made: Tensor, images: Tensor) -> Tensor:
    return (made.float() - images).square().flatten(1).sum(1)  # (N, C, H, W) -> (N,)


def mean_squared_error(made: Tensor, images: Tensor) -> Tensor:
    return (made.float() - images).square().flatten(1).mean(1)  # (N, C, H, W) -> (N,)


SQUARED_ERRORS = (squared_error, mean_squared_error)


class LatentParams(registry.MethodParams):
    """Where a search may take z; the papers' own searches let it go anywhere."""

    penalty: float = Field(0.0, ge=0, description="weight beta of ||z||^2 / 2 in what the search lowers")
    restriction: Literal["none", "shell", "clip"] = Field(
        "none", description="after each step: z as it is, put to length sqrt(latent), or clipped to [-bound, bound]"
    )
    bound: float = Field(3.0, gt=0, description="of every dimension of z, for `restriction: clip`")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="of the steps, where z alone moves: bfloat16 takes half the time; all after the last is float32",
    )


@dataclass(frozen=True)
class Settings:
    """How to search.

    Attributes:
        starts: starting points per image.
        steps: Adam steps from each of them.
        z_lr, theta_lr: Adam's step sizes on z and on the weights; theta_lr 0 leaves the weights alone.
        beta1, beta2: Adam's decays, of both.
        block: starting points in one forward.
        update: whether z and the weights move in the same step (`together`) or z first and then, from the new
            gradient, the weights (`in_turn`).
        read_loss: the loss `after_last_step`, or the one that the last step saw (`at_last_step`); never the penalty.
        penalty, restriction, bound, precision: as LatentParams.
        backend: what moves the weights: the native kernel, PyTorch with torch.compile or without; `auto` takes the
            kernel on a CPU, and compiles on a GPU, where it can.
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
    """Where the searches ended: z `(N, starts, latent)`, the loss `(N, starts)`, and `made` `(N, starts, C, H, W)`.

    `path`, if it was asked for: z before the first step and after each, `(N, starts, steps + 1, latent)`.
    """

    z: Tensor
    loss: Tensor
    made: Tensor
    path: Tensor | None = None

    @property
    def closest(self) -> Tensor:
        """What was made from the start whose loss ended lowest, `(N, C, H, W)`."""
        return self.made[torch.arange(len(self.made)), self.loss.argmin(dim=1)]


def latent_search(
    generator: nn.Module,
    targets: tuple[Tensor, ...],
    keys: Tensor,
    loss: Loss,
    settings: Settings,
    starts_at: Tensor | None = None,
    with_path: bool = False,
) -> Found:
    """Search for every image from every starting point.

    Args:
        generator: z `(N, latent)` -> images; in eval mode; comes back unchanged.
        targets: what the loss compares a made image with, a row per image each: the images, `(N, C, H, W)` float32 in
            [-1, 1], and whatever can be computed of them once, before the search.
        keys: `(N,)` int64, the seed of each image's starts.
        loss: `loss(made, *targets)`, one number per row.
        settings: how to search.
        starts_at: `(N, starts, latent)`, where to begin instead of at draws from the prior.
        with_path: whether to keep where z was at every step.

    Raises:
        HeldoutError: the settings ask for the native kernel or for compiled PyTorch, which cannot do this search, or
            for half precision while the weights move.
    """
    if settings.precision != "float32" and settings.theta_lr > 0:
        raise HeldoutError(
            f"precision: {settings.precision} is for a search of z alone, since steps of the weights are smaller than "
            "what it can tell apart; set theta_lr: 0, or precision: float32"
        )
    starts = settings.starts
    if starts_at is None:
        starts_at = randomness.starting_points(keys, starts, generator.latent).to(targets[0].device)
    backend = _backend(generator, targets[0], loss, settings)
    if backend == "native":
        reduces = loss is mean_squared_error
        return Found(*joint_search.search(generator, targets[0], starts_at, settings, reduces, with_path))
    weights = _private(generator, targets[0], loss, settings, backend) if settings.theta_lr > 0 else None
    z = starts_at.flatten(0, 1)  # (N * starts, latent)
    repeated = [rows.repeat_interleave(starts, dim=0) for rows in targets]
    if weights is None:
        generator = fixed(generator)

    def search(z: Tensor, *targets: Tensor) -> tuple[Tensor, ...]:
        visited: list[Tensor] = []

        def visit(z: Tensor) -> None:
            if with_path:
                visited.append(z.detach().clone())

        if weights is None:
            ends = _with_shared_weights(generator, _restricted(z, settings), targets, loss, settings, visit)
        else:
            ends = _with_private_weights(weights, _restricted(z, settings), targets, settings, visit)
        return (*ends, torch.stack(visited, dim=1)) if with_path else ends

    ends = in_blocks(search, z, *repeated, size=settings.block)
    return Found(*(rows.unflatten(0, (len(keys), starts)) for rows in ends))


def _backend(generator: nn.Module, images: Tensor, loss: Loss, settings: Settings) -> str:
    """Return which backend does this search, and note it, with a reason where PyTorch does it."""
    asked = settings.backend
    if settings.theta_lr == 0 and asked in ("auto", "torch"):
        return "torch"  # there is but one way to move z alone
    wanted = _by_itself(images.device) if asked == "auto" else asked
    try:
        if wanted == "torch":
            raise Unavailable("backend: torch asks for it")
        if settings.theta_lr == 0:
            raise Unavailable("it is for searches that move the weights, and theta_lr is 0")
        if loss not in SQUARED_ERRORS:
            raise Unavailable("the loss is not the squared error")
        if wanted == "native":
            joint_search.check(generator, images)
        else:
            private_weights.check(generator, images, settings.steps)
    except Unavailable as reason:
        if asked not in ("auto", "torch"):
            raise HeldoutError(f"backend: {asked} cannot run here: {reason}; set backend: auto") from reason
        backends.chose("joint search", "torch", str(reason))
        return "torch"
    why = "the device is a GPU" if asked == "auto" else "backend: compiled asks for it"
    backends.chose("joint search", wanted, f"{why}; its first block compiles" if wanted == "compiled" else None)
    return wanted


def _by_itself(device: torch.device) -> str:
    """Return the backend that `auto` tries: by the kind of device, never by the work, on which no score may depend."""
    return "native" if device.type == "cpu" else "compiled"


def _private(generator: nn.Module, images: Tensor, loss: Loss, settings: Settings, backend: str) -> Weights:
    if loss in SQUARED_ERRORS and private_weights.why_not_plain(generator, images) is None:
        return PrivateWeightsOfDCGAN(generator, settings, loss is mean_squared_error, backend == "compiled")
    return PrivateWeights(generator, loss, settings)


def _with_shared_weights(
    generator: nn.Module,
    z: Tensor,
    targets: tuple[Tensor, ...],
    loss: Loss,
    settings: Settings,
    visit: Callable[[Tensor], None],
) -> tuple[Tensor, Tensor, Tensor]:
    z = z.clone().requires_grad_()
    visit(z)
    adam = _adam([z], settings.z_lr, settings)
    before_step = None
    for _ in range(settings.steps):
        with randomness.autocast(settings.precision, z.device):
            losses = loss(generator(z), *targets)
        lowered = losses + _penalty(z, settings)
        (z.grad,) = torch.autograd.grad(lowered.sum(), z)  # of z alone: the weights' gradients would be half the work
        before_step = losses.detach()
        adam.step()
        with torch.no_grad():
            z.copy_(_restricted(z, settings))
        visit(z)
    with torch.no_grad():
        made = generator(z)
        return z.detach(), _reading(before_step, loss(made, *targets), settings), made


@torch.no_grad()
def _with_private_weights(
    weights: Weights,
    z: Tensor,
    targets: tuple[Tensor, ...],
    settings: Settings,
    visit: Callable[[Tensor], None],
) -> tuple[Tensor, Tensor, Tensor]:
    penalty = grad(lambda z: _penalty(z, settings).sum())
    z = z.clone()
    visit(z)
    adam = _adam([z], settings.z_lr, settings)
    weights.begin(targets)
    before_step = None
    for _ in range(settings.steps):
        before_step, of_loss = weights.gradient(z, moves=settings.update == "together")
        z.grad = of_loss + penalty(z)
        adam.step()
        z.copy_(_restricted(z, settings))
        if settings.update == "in_turn":
            weights.gradient(z, moves=True)
        visit(z)
    after, made = weights.end(z)
    return z, _reading(before_step, after, settings), made


def _penalty(z: Tensor, settings: Settings) -> Tensor:
    return settings.penalty * z.square().sum(dim=1) / 2  # (N, latent) -> (N,)


def _restricted(z: Tensor, settings: Settings) -> Tensor:
    if settings.restriction == "shell":
        return z * (z.shape[1] ** 0.5 / z.norm(dim=1, keepdim=True))
    return z.clamp(-settings.bound, settings.bound) if settings.restriction == "clip" else z


def _adam(tensors: list[Tensor], learning_rate: float, settings: Settings) -> Adam:
    return Adam(tensors, learning_rate, settings.beta1, settings.beta2)


def _reading(before_step: Tensor | None, after: Tensor, settings: Settings) -> Tensor:
    return before_step if settings.read_loss == "at_last_step" and before_step is not None else after
