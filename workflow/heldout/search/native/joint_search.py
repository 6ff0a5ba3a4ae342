"""The joint search of `latent.py` on a CPU, by the kernel in joint_search.cpp.

It serves DCGAN's generator and the squared error. Up to rounding it gives what PyTorch gives, in a twelfth of the time
of a search per starting point: speed is explained in the kernel's first lines. Each starting point is searched by one
thread, which adds up in one order: a result depends on neither the neighbours nor the number of threads.
"""

import ctypes
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from heldout.networks.dcgan import FIRST_SIDE, Generator
from heldout.search.native.compiling import Unavailable, library
from heldout.search.private_weights import why_not_plain

SOURCE = Path(__file__).with_suffix(".cpp")
RESTRICTIONS = ("none", "shell", "clip")


class Request(ctypes.Structure):
    """What the kernel is handed; the order of fields is that of `struct Request` in joint_search.cpp."""

    _fields_ = (
        *((name, ctypes.c_int32) for name in ("latent", "width", "side", "channels")),
        *((name, ctypes.c_int32) for name in ("images", "starts", "steps", "threads")),
        *((name, ctypes.c_int32) for name in ("in_turn", "at_last_step", "mean", "restriction")),
        *((name, ctypes.c_double) for name in ("z_lr", "theta_lr", "beta1", "beta2", "penalty", "bound")),
        *((name, ctypes.c_void_p) for name in ("weights", "statistics", "targets", "begin")),
        *((name, ctypes.c_void_p) for name in ("z", "loss", "made", "path")),
    )


def check(generator: nn.Module, device: torch.device) -> None:
    """Compile the kernel if need be; raise Unavailable, with the reason, if it cannot search this generator."""
    if device.type != "cpu":
        raise Unavailable(f"the native kernel runs on a CPU, not on {device.type}")
    reason = why_not_plain(generator)
    if reason:
        raise Unavailable(reason)
    library(SOURCE)


def search(
    generator: Generator,
    images: Tensor,
    begin: Tensor,
    settings: Any,
    mean: bool,
    with_path: bool = False,
    machine: str = "native",
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Search for every image from every starting point, with as many threads as PyTorch has.

    Args:
        generator: in eval mode, as `check` wants it; comes back unchanged.
        images: `(N, C, H, W)` float32.
        begin: `(N, starts, latent)`, where to begin.
        settings: `search.Settings`, with theta_lr > 0.
        mean: whether the loss is the mean of the squared error over pixels, not its sum.
        with_path: whether to keep where z was at every step.
        machine: GCC's `-march`, other than this machine's own for a comparison.

    Returns:
        z `(N, starts, latent)`, the loss `(N, starts)`, what was made `(N, starts, C, H, W)`, and the path
        `(N, starts, steps + 1, latent)` or None.

    Raises:
        Unavailable: the kernel cannot be compiled here.
        MemoryError: there is no room for the threads' copies of the weights.
    """
    kernel = library(SOURCE, machine).heldout_joint_search
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
