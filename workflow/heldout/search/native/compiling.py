"""Compile a C++ file for this machine on first use, and keep the library in PyTorch's folder for extensions.

The library's name contains a hash of the source, the compiler, its flags, PyTorch's version and the processor: machines
that share a home folder may not be able to run each other's `-march=native` code. The library is built in a temporary
folder, tried in a process of its own and renamed into place: concurrent builds do not conflict, and a killed build or a
compiler that writes no library leaves nothing. The name also contains a hash of the library's content, since loading a
damaged one can end the process.
"""

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch

from heldout.storage.hashing import DIGITS, file_sha256

# No -ffast-math, which would reorder sums and ignore infinities and NaN. `-fno-math-errno` and `-fno-trapping-math`
# change no result; without them a square root is a function call and a comparison a branch.
FLAGS = ("-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast", "-pthread")
LIMIT_S = 300  # of a compiler; the largest file takes some ten seconds
TRY = "import ctypes, sys; getattr(ctypes.CDLL(sys.argv[1]), sys.argv[2])"


class Unavailable(Exception):
    """The reason why native code is not available; it completes a message."""


def function(source: Path, name: str, machine: str = "native") -> Any:
    """Return a compiled function of a C++ file with a plain C interface.

    Args:
        source: the file.
        name: of the function.
        machine: GCC's `-march`.

    Raises:
        Unavailable: there is no compiler, or it fails, or the folder cannot be written.
    """
    found = _tried(source, name, machine)
    if isinstance(found, str):
        raise Unavailable(found)
    return found[name]


@cache
def _tried(source: Path, name: str, machine: str) -> ctypes.CDLL | str:
    """Return the library or the reason of its failure; the cache avoids a new attempt for every block of images."""
    flags = (*FLAGS, f"-march={machine}")
    try:
        command = _compiler()
        key = "\n".join([source.read_text(encoding="utf-8"), *command, *flags, torch.__version__, processor()])
        stem = f"{source.stem}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
        return ctypes.CDLL(str(_built(_folder(), stem) or _build(source, name, [*command, *flags], stem)))
    except Unavailable as reason:
        return str(reason)
    except (OSError, RuntimeError) as error:  # RuntimeError: a user without a home folder
        return f"{source.name} cannot be built or loaded ({error})"


def _built(folder: Path, stem: str) -> Path | None:
    """Return the library that was built under this name, if there is one; delete damaged ones."""
    for path in folder.glob(f"{stem}-*.so"):
        if path.stem.rpartition("-")[2] == file_sha256(path)[:DIGITS]:
            return path
        path.unlink(missing_ok=True)
    return None


def _build(source: Path, name: str, command: list[str], stem: str) -> Path:
    if shutil.which(command[0]) is None:
        raise Unavailable(f"there is no C++ compiler {command[0]!r} (install g++, or name yours in CXX)")
    _folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_folder()) as folder:
        library = Path(folder, "library.so")
        printed = _run(
            [*command, "-shared", "-fPIC", str(source), "-o", str(library)], f"{source.name} does not compile"
        )
        if not library.is_file():
            raise Unavailable(f"{source.name} does not compile: {command[0]} wrote no library {printed}".rstrip())
        _run([sys.executable, "-I", "-c", TRY, str(library), name], f"{source.name} compiles to a broken library")
        path = _folder() / f"{stem}-{file_sha256(library)[:DIGITS]}.so"
        os.replace(library, path)
    return path


def _run(command: list[str], problem: str) -> str:
    """Run a command, at most for LIMIT_S, and return what it prints; raise Unavailable if it fails."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(command, start_new_session=True, **pipes) as process:
        try:
            printed = process.communicate(timeout=LIMIT_S)[0].decode(errors="replace")
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)  # a compiler starts others
            if isinstance(error, subprocess.TimeoutExpired):
                raise Unavailable(f"{problem}: {command[0]} has not ended after {LIMIT_S} s") from error
            raise
    lines = printed.splitlines()
    told = ([line for line in lines if "error" in line.lower()] or lines)[-1:]
    if process.returncode:
        raise Unavailable(
            f"{problem}: {' '.join(told).strip()[:200] or f'{command[0]} ends with {process.returncode}'}"
        )
    return " ".join(told)


def _compiler() -> list[str]:
    named = os.environ.get("CXX", "")
    try:
        return shlex.split(named) or ["c++"]
    except ValueError as error:
        raise Unavailable(f"CXX is no command: {named!r} ({error})") from error


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
