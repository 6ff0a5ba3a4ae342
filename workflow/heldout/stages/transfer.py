"""Copies one file from the web or from this machine, with limits on its size and its time.

urllib reads the body. torchvision's downloads and pooch limit neither the time nor the size of a whole transfer.
"""

import threading
import time
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException
from io import BufferedReader
from pathlib import Path
from typing import cast

PATIENCE_S = 30  # a transfer may be slower than LEAST_RATE for this long, and send nothing for this long
LEAST_RATE = 10_000  # bytes per second on average, after PATIENCE_S
LOOK_S = 0.2
CHUNK = 1 << 16  # bytes
WEB = ("http://", "https://")
LONGEST_REASON = 200  # characters of what a server says


def transfer(address: str, path: Path, largest: int) -> str | None:
    """Copy or download at most `largest` bytes to `path`; return the reason of a failure, or None.

    Raises:
        OSError: `path` cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # of an earlier address, which may still be written to
    work = _Transfer(address, path, largest)
    work.start()
    began = time.monotonic()
    while work.is_alive():
        work.join(LOOK_S)
        late_s = time.monotonic() - began - PATIENCE_S
        if work.is_alive() and work.received < late_s * LEAST_RATE:
            work.is_given_up = True
            return f"too slow: {work.received} bytes in {late_s + PATIENCE_S:.0f} s"
    if work.failed_write:
        raise work.failed_write
    return work.problem


class _Transfer(threading.Thread):
    """A transfer that no name server, connection or network drive can make the main thread wait for."""

    def __init__(self, address: str, path: Path, largest: int) -> None:
        super().__init__(daemon=True)
        self._address, self._path, self._largest = address, path, largest
        self.received = 0
        self.is_given_up = False
        self.problem: str | None = None
        self.failed_write: OSError | None = None

    def run(self) -> None:
        try:
            with open(self._path, "xb") as target:
                for chunk in self._chunks():
                    target.write(chunk)
        except OSError as error:
            self.failed_write = error

    def _chunks(self) -> Iterator[bytes]:
        """Yield what arrives; note as `problem` why it ends too early or too late."""
        try:
            with self._opened() as source:
                announced = getattr(source, "length", None)  # of a response that states it
                while not self.is_given_up and (chunk := source.read1(CHUNK)):
                    self.received += len(chunk)
                    if self.received > self._largest:
                        self.problem = f"larger than the {self._largest} bytes that it may have"
                        return
                    yield chunk
            if announced is not None and announced > self.received:
                self.problem = f"the connection ended after {self.received} of {announced} bytes"
        except (OSError, HTTPException, ValueError) as error:
            self.problem = " ".join(str(getattr(error, "reason", error)).split())[:LONGEST_REASON]

    def _opened(self) -> BufferedReader:
        if self._address.startswith(WEB):
            request = urllib.request.Request(self._address, headers={"User-Agent": "heldout"})
            return cast(BufferedReader, urllib.request.urlopen(request, timeout=PATIENCE_S))
        path = Path(self._address.removeprefix("file://")).expanduser()
        if not path.is_file():
            raise FileNotFoundError("no such file")
        return path.open("rb")
