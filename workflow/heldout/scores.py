"""Score files: Parquet, a row per image, with the identity in the schema's metadata. Raw scores, without labels."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from heldout.errors import HeldoutError
from heldout.identity import canonical

METADATA_KEY = b"heldout"


@dataclass(frozen=True)
class Scores:
    """A score file: its spec, its columns (`index, part, score`, then components), and why there are none, if so."""

    spec: dict[str, Any]
    columns: dict[str, Any]
    failed: str | None


def write_scores(path: Path, scores: Scores) -> None:
    """Write a score file; the same scores give the same bytes."""
    metadata = {METADATA_KEY: canonical({"spec": scores.spec, "failed": scores.failed}).encode()}
    types = {"index": pyarrow.int64(), "part": pyarrow.string()}
    arrays = {
        name: pyarrow.array(values, types.get(name, pyarrow.float64())) for name, values in scores.columns.items()
    }
    pyarrow.parquet.write_table(pyarrow.table(arrays, metadata=metadata), path)


def read_scores(path: Path) -> Scores:
    """Read what `write_scores` wrote.

    Raises:
        HeldoutError: the file is damaged or is no score file.
    """
    try:
        table = pyarrow.parquet.read_table(path)
        content = json.loads((table.schema.metadata or {})[METADATA_KEY])
    except (pyarrow.ArrowException, OSError, KeyError, ValueError) as error:
        raise HeldoutError(f"{path} is damaged or no score file ({error}); delete it and run again") from error
    return Scores(content["spec"], table.to_pydict(), content["failed"])
