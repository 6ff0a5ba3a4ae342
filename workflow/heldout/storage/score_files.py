"""Score files: Parquet with raw scores, one row per image, without labels; the metadata contain the spec."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet

from heldout.errors import HeldoutError
from heldout.storage.hashing import canonical, digest
from heldout.storage.sidecars import check_own, remade
from heldout.storage.specs import ScoreSpec

METADATA_KEY = b"heldout"


@dataclass(frozen=True)
class Scores:
    """A score file: spec, columns (`index, part, score`, components), and the reason of a numerical failure, if any."""

    spec: ScoreSpec
    columns: dict[str, Any]
    failed: str | None


def write_scores(path: Path, scores: Scores) -> None:
    """Write a score file; the same scores give the same bytes."""
    metadata = {METADATA_KEY: canonical({"spec": scores.spec.content, "failed": scores.failed}).encode()}
    arrays = {
        name: _text(values) if name == "part" else _numbers(values, np.int64 if name == "index" else np.float64)
        for name, values in scores.columns.items()
    }
    pyarrow.parquet.write_table(pyarrow.table(arrays, metadata=metadata), path)


def read_scores(path: Path) -> Scores:
    """Read what `write_scores` wrote, after comparing its hash with the spec file beside it.

    Raises:
        HeldoutError: the file is damaged or is no score file.
    """
    check_own(path)
    table, content = _content(path)
    try:
        return Scores(ScoreSpec.of(content["spec"]), table.to_pydict(), content["failed"])
    except HeldoutError as error:
        raise HeldoutError(f"{path} is of another version ({error}); {remade(path)}") from error


def digest_in(path: Path) -> str:
    """Return the digest of the spec in a score file of this or an older version; raises as `read_scores`."""
    return digest(_content(path)[1]["spec"])


def _content(path: Path) -> tuple[pyarrow.Table, dict[str, Any]]:
    try:
        with pyarrow.parquet.ParquetFile(path) as file:  # read_table would import pandas
            table = file.read()
        return table, json.loads((table.schema.metadata or {})[METADATA_KEY])
    except (pyarrow.ArrowException, OSError, KeyError, ValueError) as error:
        raise HeldoutError(f"{path} is damaged or no score file ({error}); {remade(path)}") from error


# From buffers, because pyarrow.array imports pandas to check the values' type, which takes half a second.
def _numbers(values: Sequence[float], kind: type) -> pyarrow.Array:
    numbers: np.ndarray = np.asarray(values, kind)
    buffers = [None, pyarrow.py_buffer(numbers)]  # none is missing
    return pyarrow.Array.from_buffers(pyarrow.from_numpy_dtype(kind), len(numbers), buffers)


def _text(values: Sequence[str]) -> pyarrow.Array:
    encoded = [value.encode() for value in values]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    buffers = [None, pyarrow.py_buffer(ends), pyarrow.py_buffer(b"".join(encoded))]
    return pyarrow.Array.from_buffers(pyarrow.string(), len(encoded), buffers)
