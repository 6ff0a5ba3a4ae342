"""Compile a C++ file for this machine on first use, and keep the library in PyTorch's folder for extensions.

The library's name contains a hash of the source, the compiler, its flags, PyTorch's version and the processor: machines
that share a home folder may not be able to run each other's `-march=native` code. The library is built in a temporary
folder and renamed into place, so that concurrent builds do not conflict and a killed build leaves no lock and no
incomplete library.
"""

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import tempfile
from functools import cache
from pathlib import Path

import torch

# No -ffast-math, which would reorder sums and ignore infinities and NaN. `-fno-math-errno` and `-fno-trapping-math`
# change no result; without them a square root is a function call and a comparison a branch.
FLAGS = ("-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-pthread")


class Unavailable(Exception):
    """The reason why native code is not available; it completes a message."""


def library(source: Path, machine: str = "native") -> ctypes.CDLL:
    """Return the compiled library of a C++ file with a plain C interface.

    Args:
        source: the file.
        machine: GCC's `-march`.

    Raises:
        Unavailable: there is no compiler, or it fails, or the folder cannot be written.
    """
    found = _tried(source, machine)
    if isinstance(found, str):
        raise Unavailable(found)
    return found


@cache
def _tried(source: Path, machine: str) -> ctypes.CDLL | str:
    """Return the library or the reason of its failure; the cache avoids a new attempt for every block of images."""
    flags = (*FLAGS, f"-march={machine}")
    key = "\n".join([source.read_text(encoding="utf-8"), _compiler(), *flags, torch.__version__, processor()])
    name = f"{source.stem}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.so"
    try:
        path = _folder() / name
        if not path.is_file():
            _build(source, flags, path)
        return ctypes.CDLL(str(path))
    except Unavailable as reason:
        return str(reason)
    except (OSError, RuntimeError) as error:  # RuntimeError: a user without a home folder
        return f"{name} cannot be built or loaded ({error})"


def _build(source: Path, flags: tuple[str, ...], path: Path) -> None:
    if shutil.which(_compiler()) is None:
        raise Unavailable(f"there is no C++ compiler {_compiler()!r} (install g++, or name yours in CXX)")
    from torch.utils import cpp_extension  # takes a second; not needed once the library is built

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        try:
            cpp_extension.load(
                path.stem, [str(source)], list(flags), build_directory=folder, is_python_module=False, with_cuda=False
            )
        except RuntimeError as error:
            lines = [line for line in str(error).splitlines() if "error" in line] or [str(error)]
            raise Unavailable(f"{source.name} does not compile: {lines[-1].strip()}") from error
        (built,) = Path(folder).glob("*.so")  # PyTorch changes the name if a process builds twice
        os.replace(built, path)


def _compiler() -> str:
    return shlex.split(os.environ.get("CXX") or "c++")[0]


def _folder() -> Path:
    """Return the folder for libraries, inside PyTorch's folder for extensions."""
    cache_folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("TORCH_EXTENSIONS_DIR") or cache_folder / "torch_extensions") / "heldout"


def processor() -> str:
    """Return the processor model and instruction sets: `-march=native` and libraries choose their kernels by them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    told = ("vendor_id", "cpu family", "model", "flags", "CPU implementer", "CPU part", "Features")
    return "\n".join(line for line in lines if line.split("\t")[0].split(":")[0].strip() in told)
