"""Progress bars: live on a terminal, plain lines in a log file."""

import sys
from collections.abc import Iterable
from typing import Any, TextIO

from tqdm import tqdm

SECONDS_BETWEEN_LINES = 10


def progress(items: Iterable[Any], total: int, title: str, done: int = 0) -> tqdm:
    """Return a progress bar over `items`; in a log file, it writes a line every ten seconds.

    Args:
        items: the remaining items.
        total: number of all items.
        title: text before the bar.
        done: number of items that an earlier process finished.
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
    """A stream that starts a new line where a progress bar would redraw the current one."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> None:
        line = text.strip("\r\n")
        if line.strip():
            self.stream.write(line + "\n")

    def flush(self) -> None:
        self.stream.flush()
