"""What every long step shares: its device, its threads, its progress, and the record of what it ran on."""

import platform
import resource
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

import torch
from tqdm import tqdm

from heldout import registry
from heldout.errors import HeldoutError
from heldout.search.native.compiling import processor
from heldout.stages import gpus
from heldout.storage import hashing

SECONDS_BETWEEN_LINES = 10
RECORDED = ("heldout", "torch", "numpy", "safetensors", "scikit-learn")


def choose_device(name: str) -> torch.device:
    """Return the device that `auto`, `cpu`, `cuda` or `cuda:N` names.

    Raises:
        HeldoutError: it asks for a GPU that PyTorch does not see.
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
    """Return the device that `name` names; if it is a GPU, one with a free place, which this process then holds.

    Args:
        name: `auto`, `cpu`, `cuda` or `cuda:N`; N counts the GPUs that CUDA_VISIBLE_DEVICES leaves visible.
        jobs_per_gpu: processes that may hold a place on one GPU; where all are taken, this one waits.

    Raises:
        HeldoutError: it asks for a GPU that PyTorch does not see, or places cannot be held.
    """
    device = choose_device(name)
    if device.type == "cpu":
        return device
    numbers = list(range(torch.cuda.device_count())) if device.index is None else [device.index]
    place = gpus.take([_identifier(number) for number in numbers], jobs_per_gpu)
    device = torch.device("cuda", numbers[place])
    torch.cuda.set_device(device)  # for what a library allocates without being told where
    return device


def _identifier(number: int) -> str:
    """Return what names a GPU whatever its number is here: its UUID, which old drivers may not tell."""
    return str(getattr(torch.cuda.get_device_properties(number), "uuid", number))


def progress(items: Iterable[Any], total: int, title: str, done: int = 0) -> tqdm:
    """Return a progress bar: live on a terminal, a plain line every ten seconds in a log file.

    Args:
        items: what is left.
        total: how many there are in all.
        title: what stands before the bar.
        done: how many were done before.
    """
    live = sys.stderr.isatty()
    return tqdm(
        items,
        total=total,
        initial=done,
        desc=title,
        ascii=True,
        ncols=100,
        mininterval=0.1 if live else SECONDS_BETWEEN_LINES,
        maxinterval=SECONDS_BETWEEN_LINES,
        miniters=None if live else 1,
        file=sys.stderr if live else _Lines(sys.stderr),
    )


class _Lines:
    """A log file's view of a progress bar: where a terminal would redraw the line, begin a new one."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> None:
        line = text.strip("\r\n")
        if line.strip():
            self.stream.write(line + "\n")

    def flush(self) -> None:
        self.stream.flush()


def synchronise(device: torch.device) -> None:
    """Wait for the device, so that a clock read next counts finished work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def peak_memory_mib(device: torch.device) -> float:
    """Return the most memory this process has held: on the GPU if it ran there, else in RAM."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    return round(_ram_mib()[1], 1)


def held_memory_mib(device: torch.device) -> tuple[float, float]:
    """Return what this process holds now, and the most it has held: on the GPU with PyTorch's cache, else in RAM."""
    if device.type == "cuda":
        return torch.cuda.memory_reserved(device) / 2**20, torch.cuda.max_memory_reserved(device) / 2**20
    return _ram_mib()


def _ram_mib() -> tuple[float, float]:
    """Return what this process holds of RAM, and the most it has held.

    Not by getrusage, as far as Linux tells it otherwise: there a process inherits the peak of the one that started it.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        told = dict(line.split(":", 1) for line in lines)
        now, peak = (int(told[name].split()[0]) / 2**10 for name in ("VmRSS", "VmHWM"))  # kB, which are KiB
        return now, peak
    except (OSError, KeyError, ValueError):  # as on macOS; nothing held now errs on the safe side
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return 0.0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def describe(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({platform.machine()})"


def decides_bits(device: torch.device) -> dict[str, Any]:
    """Return what the last bits of a result depend on beside its identity: two runs that agree in it agree in them."""
    versions = {name: version(name) for name in RECORDED if name != "heldout"}
    return {"versions": versions, "device": describe(device), "processor": hashing.digest(processor())}


def what_ran(device: torch.device) -> dict[str, Any]:
    """Return what a result was made with; it goes beside the file, not into its digest."""
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in RECORDED}},
        "device": describe(device),
        "commit": _commit(),
    }


def _commit() -> str | None:
    command = ["git", "-C", str(registry.PACKAGE), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None  # an export without .git
