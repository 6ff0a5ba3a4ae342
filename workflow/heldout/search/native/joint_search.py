"""The joint search of `latent.py` on a CPU, by the kernel in joint_search.cpp.

It supports DCGAN's generator and the squared error. Up to rounding it gives the same results as PyTorch, in a twelfth
of the time of one search per starting point; the kernel's first lines explain why. One thread searches each starting
point with a fixed order of summation: a result does not depend on its neighbours or the number of threads.
"""

import ctypes
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from heldout.networks.dcgan import FIRST_SIDE, Generator
from heldout.search.native.compiling import Unavailable, function
from heldout.search.private_weights import why_not_plain

SOURCE, KERNEL = Path(__file__).with_suffix(".cpp"), "heldout_joint_search"
RESTRICTIONS = ("none", "shell", "clip")


class Request(ctypes.Structure):
    """The kernel's arguments; the fields have the order of `struct Request` in joint_search.cpp."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("latent", "width", "side", "channels")),
        *((name, ctypes.c_int32) for name in ("images", "starts", "steps", "threads")),
        *((name, ctypes.c_int32) for name in ("in_turn", "at_last_step", "mean", "restriction")),
        *((name, ctypes.c_double) for name in ("z_lr", "theta_lr", "beta1", "beta2", "penalty", "bound")),
        *((name, ctypes.c_void_p) for name in ("weights", "statistics", "targets", "begin")),
        *((name, ctypes.c_void_p) for name in ("z", "loss", "made", "path")),
    )


def check(generator: nn.Module, device: torch.device) -> None:
    """Compile the kernel if necessary; raise Unavailable with the reason if it cannot search this generator."""
    if device.type != "cpu":
        raise Unavailable(f"the native kernel runs on a CPU, not on {device.type}")
    reason = why_not_plain(generator)
    if reason:
        raise Unavailable(reason)
    function(SOURCE, KERNEL)


def search(
    generator: Generator,
    images: Tensor,
    begin: Tensor,
    settings: Any,
    mean: bool,
    with_path: bool = False,
    machine: str = "native",
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Search for every image from every starting point, with PyTorch's number of threads.

    Args:
        generator: in eval mode, accepted by `check`; not modified.
        images: `(N, C, H, W)` float32.
        begin: `(N, starts, latent)`, the starting points.
        settings: `search.Settings`, with theta_lr > 0.
        mean: whether the loss is the mean of the squared error over pixels instead of its sum.
        with_path: whether to return z at every step.
        machine: GCC's `-march`; other values serve comparisons.

    Returns:
        z `(N, starts, latent)`, losses `(N, starts)`, generated images `(N, starts, C, H, W)`, and the path
        `(N, starts, steps + 1, latent)` or None.

    Raises:
        Unavailable: the kernel cannot be compiled here.
        MemoryError: the threads' copies of the weights do not fit into memory.
    """
    kernel = function(SOURCE, KERNEL, machine)
    convolutions = [layer for layer in generator.modules() if isinstance(layer, nn.ConvTranspose2d)]
    normalisations = [layer for layer in generator.modules() if isinstance(layer, nn.BatchNorm2d)]
    side, channels = FIRST_SIDE << len(convolutions), convolutions[-1].out_channels
    count, starts, latent = begin.shape
    assert images.shape == (count, channels, side, side), (images.shape, count, channels, side)
    statistics = [(layer.running_mean, (layer.running_var + layer.eps).rsqrt()) for layer in normalisations]
    given = {
        "weights": torch.cat([weight.detach().flatten() for weight in generator.parameters()]),
        "statistics": torch.cat([part for pair in statistics for part in pair]),
        "targets": images.contiguous(),
        "begin": begin.contiguous(),
    }
    found = {
        "z": torch.empty(count, starts, latent),
        "loss": torch.empty(count, starts),
        "made": torch.empty(count, starts, channels, side, side),
    }
    if with_path:
        found["path"] = torch.empty(count, starts, settings.steps + 1, latent)
    request = Request(
        latent=latent,
        width=convolutions[-1].in_channels,
        side=side,
        channels=channels,
        images=count,
        starts=starts,
        steps=settings.steps,
        threads=torch.get_num_threads(),
        in_turn=settings.update == "in_turn",
        at_last_step=settings.read_loss == "at_last_step",
        mean=mean,
        restriction=RESTRICTIONS.index(settings.restriction),
        **{name: getattr(settings, name) for name in ("z_lr", "theta_lr", "beta1", "beta2", "penalty", "bound")},
        **{name: tensor.data_ptr() for name, tensor in (given | found).items()},
    )
    if kernel(ctypes.byref(request)):
        raise MemoryError(f"no room for {request.threads} copies of the generator's weights")
    return found["z"], found["loss"], found["made"], found.get("path")
