"""Which backend a computation ran on, where there is a choice: a line in the log, and a record beside the scores."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from heldout import shapes_no_number

_chosen: dict[str, str] = {}


@shapes_no_number
def chose(computation: str, backend: str, why: str | None = None) -> None:
    """Note what a computation runs on; where a reason is given, say so on stderr, once."""
    if why is not None and _chosen.get(computation) != backend:
        print(f"{computation}: by {backend}, since {why}", file=sys.stderr)
    _chosen[computation] = backend


def so_far() -> dict[str, str]:
    """Return what was chosen: computation -> backend."""
    return dict(_chosen)


@contextmanager
def recorded() -> Iterator[dict[str, str]]:
    """Give a dictionary that holds, from now on and afterwards, what was chosen: computation -> backend."""
    _chosen.clear()
    record: dict[str, str] = {}
    try:
        yield record
    finally:
        record.update(_chosen)
