"""Records the environment of a result: versions of libraries, device, processor and commit."""

import platform
import subprocess
from importlib.metadata import version
from typing import Any

import torch

from heldout.planning import origin
from heldout.search.native.compiling import processor
from heldout.stages.device import describe, processor_name
from heldout.storage import hashing

LIBRARIES = ("torch", "numpy", "safetensors", "scikit-learn")


def decides_bits(device: torch.device) -> dict[str, Any]:
    """Return the environment that affects a result's last bits; a saved state is used only if it is equal."""
    versions = {name: version(name) for name in LIBRARIES}
    return {"versions": versions, "device": describe(device), "processor": hashing.digest(processor())}


def what_ran(device: torch.device) -> dict[str, Any]:
    """Return the environment of a result; it is stored beside the result and is not part of its digest."""
    versions = {"python": platform.python_version(), **{name: version(name) for name in ("heldout", *LIBRARIES)}}
    machine = {"device": describe(device), "processor": processor_name()}
    return {"versions": versions, **machine, "package": origin.name(), "commit": _commit()}


def _commit() -> str | None:
    """Return the commit, `-dirty` if files are changed or the package has new ones; None: git does not track it."""
    try:
        _git("ls-files", "--error-unmatch", "heldout/__init__.py")  # an environment may lie in some other repository
        commit = _git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*").strip()
        has_new_files = _git("status", "--porcelain", "--", "heldout") and not commit.endswith("-dirty")
        return f"{commit}-dirty" if has_new_files else commit
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(*arguments: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(origin.IMPORTED), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
