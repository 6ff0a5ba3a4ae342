"""Digests of the package's source, kept from one process to the next: to find them takes a third of a dry run.

They hold while no file has another size or time of change, which the file system sets at every write.
"""

import json
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from heldout.storage.hashing import digest


class DigestCache:
    """Digests by name, of the `.py` and `.cpp` files below a folder as they are now."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder / "__pycache__" / "digests.json"

    def get(self, name: str, find: Callable[[], str]) -> str:
        """Return a digest that is known, or find it and keep it."""
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
            content = json.loads(self._path.read_text(encoding="utf-8"))
            return content["digests"] if content["files"] == self._files else {}
        except (OSError, ValueError, LookupError, TypeError):  # there is none yet, or it was cut off
            return {}

    def _write(self) -> None:
        temporary = self._path.with_suffix(f".{os.getpid()}")
        try:
            self._path.parent.mkdir(exist_ok=True)
            temporary.write_text(json.dumps({"files": self._files, "digests": self._known}), encoding="utf-8")
            os.replace(temporary, self._path)
        except OSError:  # the folder is another user's
            return
