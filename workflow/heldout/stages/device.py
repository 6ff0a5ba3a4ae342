"""The device of a training or scoring: its choice, its name, and this process's memory on it."""

import platform
import resource
import sys
from functools import cache
from pathlib import Path

import torch

from heldout.errors import HeldoutError
from heldout.stages import gpus


def choose_device(name: str) -> torch.device:
    """Return the device for `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        HeldoutError: PyTorch does not see that GPU.
    """
    seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda" if seen else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= seen:
        raise HeldoutError(
            f"device: {name} asks for a GPU, but PyTorch sees {seen} (CUDA build: {torch.version.cuda or 'no'}); "
            "check the driver with nvidia-smi, or set device: auto or cpu"
        )
    return device


def hold_device(name: str, jobs_per_gpu: int) -> torch.device:
    """Return the device; on a GPU, this process then occupies one of the GPU's places.

    Args:
        name: `auto`, `cpu`, `cuda` or `cuda:N`; N counts the GPUs in CUDA_VISIBLE_DEVICES.
        jobs_per_gpu: places on each GPU; this process waits while all are occupied.

    Raises:
        HeldoutError: PyTorch does not see that GPU, or a place cannot be locked.
    """
    device = choose_device(name)
    if device.type == "cpu":
        return device
    numbers = list(range(torch.cuda.device_count())) if device.index is None else [device.index]
    place = gpus.take([_identifier(number) for number in numbers], jobs_per_gpu)
    device = torch.device("cuda", numbers[place])
    torch.cuda.set_device(device)  # for libraries that allocate on the current device
    return device


def _identifier(number: int) -> str:
    """Return a GPU's UUID, the same in every process; its number if the driver reports no UUID."""
    return str(getattr(torch.cuda.get_device_properties(number), "uuid", number))


def describe(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({platform.machine()})"


@cache
def processor_name() -> str:
    """Return the processor's model and the widest instruction set that PyTorch uses on it."""
    names = ("model name", "cpu family", "model", "CPU implementer", "CPU part")
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
        facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first)}
    except OSError:  # not Linux
        facts = {"model name": platform.processor() or platform.machine()}
    # A virtual machine's name may be that of several generations, which family and model tell apart.
    told = [value if name == "model name" else f"{name} {value}" for name in names if (value := facts.get(name))]
    return ", ".join([*told, torch.backends.cpu.get_cpu_capability()])


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished its work, before a clock is read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory_mib(device: torch.device) -> float:
    """Return this process's peak memory in MiB: its tensors on a GPU, or its RAM."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    return round(_ram_mib()[1], 1)


def held_memory_mib(device: torch.device) -> tuple[float, float]:
    """Return this process's current and peak memory in MiB: on a GPU with PyTorch's cache, or its RAM."""
    if device.type == "cuda":
        return torch.cuda.memory_reserved(device) / 2**20, torch.cuda.max_memory_reserved(device) / 2**20
    return _ram_mib()


def _ram_mib() -> tuple[float, float]:
    """Return this process's current and peak RAM in MiB.

    Linux's getrusage is not used, because a process inherits the peak of its parent.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        told = dict(line.split(":", 1) for line in lines)
        now, peak = (int(told[name].split()[0]) / 2**10 for name in ("VmRSS", "VmHWM"))  # the file's kB are KiB
        return now, peak
    except (OSError, KeyError, ValueError):  # as on macOS; 0 for the current use is the safe assumption
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return 0.0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
