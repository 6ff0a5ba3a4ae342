"""The search for an image in a generator's latent space, shared by ADGAN, AnoGAN and the prior score.

From starting points z_0 ~ N(0, I), `steps` Adam steps lower l(x, g_theta(z)), moving z alone, or z and a private copy
of the generator's weights for each starting point (theta_lr > 0). The generator itself never changes.

z may be kept where the prior puts it: a penalty beta ||z||^2 / 2 beside the loss, or after each step a projection to
the shell ||z|| = sqrt(latent), where nearly all of N(0, I) lies, or a clipping to [-bound, bound].

Source: ADGAN Algorithm 1 and section 3.1 (joint search, many starts); Schlegl et al., IPMI 2017 (z alone). The
restrictions answer the review's obstacle 3 (Anomaly Detection using GANs, SIGKDD Explorations 2024).
Every point is searched in a block of fixed size (`blocks.py`), with an optimiser state of its own, from starts that
only its image's key determines: a result depends on neither the neighbours, nor their order, nor their number.
Where z alone moves, the generator is first put into a faster form (`networks/fixing.py`).
On a CPU the joint search of a squared error runs by a C++ kernel (`native/joint_search.py`), in a fraction of the time.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from heldout import backends, randomness, registry
from heldout.blocks import in_blocks
from heldout.errors import HeldoutError
from heldout.native import joint_search
from heldout.native.compiling import Unavailable
from heldout.networks.fixing import fixed

Loss = Callable[..., Tensor]  # made images (N, C, H, W) and the targets, N rows each -> (N,)
Weights = dict[str, Tensor]  # a generator's parameters, each with a leading dimension: one private copy per point


def squared_error(made: Tensor, images: Tensor) -> Tensor:
    return (made.float() - images).square().flatten(1).sum(1)  # (N, C, H, W) -> (N,)


def mean_squared_error(made: Tensor, images: Tensor) -> Tensor:
    return (made.float() - images).square().flatten(1).mean(1)  # (N, C, H, W) -> (N,)


class LatentParams(registry.MethodParams):
    """Where a search may take z; the papers' own searches let it go anywhere."""

    penalty: float = Field(0.0, ge=0, description="weight beta of ||z||^2 / 2 in what the search lowers")
    restriction: Literal["none", "shell", "clip"] = Field(
        "none", description="after each step: z as it is, put to length sqrt(latent), or clipped to [-bound, bound]"
    )
    bound: float = Field(3.0, gt=0, description="of every dimension of z, for `restriction: clip`")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="of the steps, where z alone moves: bfloat16 takes half the time; ends are read in float32",
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
        backend: what moves the weights: PyTorch, the native kernel, or the kernel where it can (`auto`).
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
    backend: Literal["auto", "native", "torch"] = "auto"


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
        HeldoutError: the settings ask for the native kernel, which cannot do this search, or for half precision while
            the weights move.
    """
    if settings.precision != "float32" and settings.theta_lr > 0:
        raise HeldoutError(
            f"precision: {settings.precision} is for a search of z alone, since steps of the weights are smaller than "
            "what it can tell apart; set theta_lr: 0, or precision: float32"
        )
    starts = settings.starts
    if starts_at is None:
        starts_at = randomness.starting_points(keys, starts, generator.latent).to(targets[0].device)
    if _is_native(generator, targets[0], loss, settings):
        reduces = loss is mean_squared_error
        return Found(*joint_search.search(generator, targets[0], starts_at, settings, reduces, with_path))
    z = starts_at.flatten(0, 1)  # (N * starts, latent)
    repeated = [rows.repeat_interleave(starts, dim=0) for rows in targets]
    move = _with_private_weights if settings.theta_lr > 0 else _with_shared_weights
    if settings.theta_lr == 0:
        generator = fixed(generator)

    def search(z: Tensor, *targets: Tensor) -> tuple[Tensor, ...]:
        visited: list[Tensor] = []

        def visit(z: Tensor) -> None:
            if with_path:
                visited.append(z.detach().clone())

        ends = move(generator, _restricted(z, settings), targets, loss, settings, visit)
        return (*ends, torch.stack(visited, dim=1)) if with_path else ends

    ends = in_blocks(search, z, *repeated, size=settings.block)
    return Found(*(rows.unflatten(0, (len(keys), starts)) for rows in ends))


def _is_native(generator: nn.Module, images: Tensor, loss: Loss, settings: Settings) -> bool:
    """Whether the native kernel does this search; a choice that PyTorch does it is noted with its reason."""
    if settings.theta_lr == 0 and settings.backend != "native":
        return False  # there is but one way to move z alone
    try:
        if settings.backend == "torch":
            raise Unavailable("backend: torch asks for it")
        if settings.theta_lr == 0:
            raise Unavailable("the native kernel moves z and the weights, and theta_lr is 0")
        if loss not in (squared_error, mean_squared_error):
            raise Unavailable("the loss is not the squared error")
        joint_search.check(generator, images)
    except Unavailable as reason:
        if settings.backend == "native":
            raise HeldoutError(f"backend: native cannot run here: {reason}; set backend: auto") from reason
        backends.chose("joint search", "torch", str(reason))
        return False
    backends.chose("joint search", "native")
    return True


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


def _with_private_weights(
    generator: nn.Module,
    z: Tensor,
    targets: tuple[Tensor, ...],
    loss: Loss,
    settings: Settings,
    visit: Callable[[Tensor], None],
) -> tuple[Tensor, Tensor, Tensor]:
    def loss_of_one(weights: Weights, z: Tensor, *target: Tensor) -> tuple[Tensor, Tensor]:
        made = functional_call(generator, weights, (z.unsqueeze(0),))
        return loss(made, *(row.unsqueeze(0) for row in target)).squeeze(0), made.squeeze(0)

    def lowered_of_one(weights: Weights, z: Tensor, *target: Tensor) -> tuple[Tensor, Tensor]:
        found, _ = loss_of_one(weights, z, *target)
        return found + _penalty(z.unsqueeze(0), settings).squeeze(0), found

    gradients = vmap(grad_and_value(lowered_of_one, argnums=(0, 1), has_aux=True))
    z = z.clone()
    visit(z)
    weights = {
        name: weight.detach().expand(len(z), *weight.shape).contiguous()
        for name, weight in generator.named_parameters()
    }
    adam_z = _adam([z], settings.z_lr, settings)
    adam_theta = _adam(list(weights.values()), settings.theta_lr, settings)

    def take(gradient_z: Tensor | None, gradient_theta: Weights | None) -> None:
        # Contiguous, since the fused Adam pairs elements by position and vmap returns transposed views.
        if gradient_z is not None:
            z.grad = gradient_z.contiguous()
            adam_z.step()
            z.copy_(_restricted(z, settings))
        if gradient_theta is not None:
            for name, weight in weights.items():
                weight.grad = gradient_theta[name].contiguous()
            adam_theta.step()

    before_step = None
    for _ in range(settings.steps):
        (gradient_theta, gradient_z), (_, before_step) = gradients(weights, z, *targets)
        if settings.update == "together":
            take(gradient_z, gradient_theta)
        else:
            take(gradient_z, None)
            (gradient_theta, _), _ = gradients(weights, z, *targets)
            take(None, gradient_theta)
        visit(z)
    with torch.no_grad():
        after, made = vmap(loss_of_one)(weights, z, *targets)
    return z, _reading(before_step, after, settings), made


def _penalty(z: Tensor, settings: Settings) -> Tensor:
    return settings.penalty * z.square().sum(dim=1) / 2  # (N, latent) -> (N,)


def _restricted(z: Tensor, settings: Settings) -> Tensor:
    if settings.restriction == "shell":
        return z * (z.shape[1] ** 0.5 / z.norm(dim=1, keepdim=True))
    return z.clamp(-settings.bound, settings.bound) if settings.restriction == "clip" else z


def _adam(tensors: list[Tensor], learning_rate: float, settings: Settings) -> torch.optim.Adam:
    return torch.optim.Adam(tensors, learning_rate, (settings.beta1, settings.beta2), fused=True)


def _reading(before_step: Tensor | None, after: Tensor, settings: Settings) -> Tensor:
    return before_step if settings.read_loss == "at_last_step" and before_step is not None else after
