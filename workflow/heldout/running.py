"""What every long step shares: its device, its threads, its progress, and the record of what it ran on."""

import os
import platform
import resource
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any, TextIO

import torch
from tqdm import tqdm

from heldout import identity
from heldout.errors import HeldoutError
from heldout.native.compiling import processor

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


@contextmanager
def reproducible(threads: int) -> Iterator[None]:
    """Fix what else could change a result's bits: the number of threads, and kernels that add up in any order."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with it
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    # Not torch.use_deterministic_algorithms: it also imports Inductor, a second of every job, for torch.compile alone.
    torch.set_deterministic_debug_mode("warn")
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.set_deterministic_debug_mode("default")


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
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10), 1)


def describe(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu ({platform.machine()})"


def decides_bits(device: torch.device) -> dict[str, Any]:
    """Return what the last bits of a result depend on beside its identity: two runs that agree in it agree in them."""
    versions = {name: version(name) for name in RECORDED if name != "heldout"}
    return {"versions": versions, "device": describe(device), "processor": identity.digest(processor())}


def what_ran(device: torch.device) -> dict[str, Any]:
    """Return what a result was made with; it goes beside the file, not into its digest."""
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in RECORDED}},
        "device": describe(device),
        "commit": _commit(),
    }


def _commit() -> str | None:
    command = ["git", "-C", str(identity.PACKAGE), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None  # an export without .git
