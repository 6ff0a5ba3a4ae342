"""A folder to put first in PATH, in which `heldout` is the command of tests/forked.py."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests import forked

# What the command sets before it imports the libraries; the serving process has imported them by then.
BEFORE_IMPORTS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
BEFORE_IMPORTS |= {"TORCHINDUCTOR_COMPILE_THREADS": "1", "THP_MEM_ALLOC_ENABLE": "1"}


@contextlib.contextmanager
def served(environment: Mapping[str, str], folder: Path) -> Iterator[dict[str, str]]:
    """Serve `heldout` from forks; give what a command's environment needs for that.

    Args:
        environment: of the serving process, with a PATH.
        folder: where that process runs.
    """
    with tempfile.TemporaryDirectory() as place:
        address, command = Path(place, "address"), Path(place, "heldout")
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "{forked.__file__}" "$@"\n', encoding="utf-8")
        command.chmod(0o755)
        serve = [sys.executable, "-P", forked.__file__, "--serve", str(address)]
        server = subprocess.Popen(serve, env={**environment, **BEFORE_IMPORTS}, cwd=folder)
        try:
            while not address.exists():
                if server.poll() is not None:
                    raise RuntimeError("the process that serves `heldout` has not started")
                time.sleep(0.05)
            yield {"PATH": f"{place}{os.pathsep}{environment['PATH']}", forked.ADDRESS: str(address)}
        finally:
            server.terminate()
            server.wait()
