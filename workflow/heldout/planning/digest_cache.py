"""A cache of the source's digests between processes: computing them takes a third of a dry run.

It is valid while no file's size or change time differs; the file system sets the change time at every write.
"""

import json
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from heldout.errors import HeldoutError
from heldout.storage.hashing import digest
from heldout.storage.sealed import read_sealed, sealed


class DigestCache:
    """Digests by name, valid for the present `.py` and `.cpp` files below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder / "__pycache__" / "digests.json"

    def get(self, name: str, find: Callable[[], str]) -> str:
        """Return a stored digest, or compute and store it."""
        if name not in self._known:
            self._known[name] = find()
            self._write()
        return self._known[name]

    @cached_property
    def _files(self) -> str:
        paths = [Path(folder, name) for folder, _, names in os.walk(self._folder) for name in names]
        stats = [(str(path), path.stat()) for path in sorted(paths) if path.suffix in (".py", ".cpp")]
        return digest([[path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns] for path, stat in stats])

    @cached_property
    def _known(self) -> dict[str, str]:
        try:
            content = read_sealed(self._path, "it is written again")
            return content["digests"] if content["files"] == self._files else {}
        except (OSError, HeldoutError, LookupError):  # no cache yet, or a damaged one
            return {}

    def _write(self) -> None:
        temporary = self._path.with_suffix(f".{os.getpid()}")
        try:
            self._path.parent.mkdir(exist_ok=True)
            content = sealed({"files": self._files, "digests": self._known})
            temporary.write_text(json.dumps(content), encoding="utf-8")
            os.replace(temporary, self._path)
        except OSError:  # the folder is not writable, so there is no cache
            return
