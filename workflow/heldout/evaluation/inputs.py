"""What an experiment's tables are made from: `results/<experiment>/inputs.json`, written while planning."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from heldout.errors import HeldoutError
from heldout.storage.files import whole_file
from heldout.storage.labels import read_labels
from heldout.storage.manifests import read_manifest
from heldout.storage.score_files import Scores, read_scores


@dataclass(frozen=True)
class Inputs:
    """The runs of an experiment with the files of each, and where its results go.

    Attributes:
        path: `inputs.json` itself.
        content: what it holds; `heldout.planning.plan` writes it.
    """

    path: Path
    content: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> "Inputs":
        return cls(Path(path), json.loads(Path(path).read_text(encoding="utf-8")))

    @property
    def folder(self) -> Path:
        return self.path.parent

    @property
    def tables(self) -> Path:
        return self.folder / "tables"

    @property
    def runs(self) -> list[dict[str, Any]]:
        return self.content["runs"]

    @property
    def methods(self) -> dict[str, dict[str, Any]]:
        """Facts of each entry, by its name: `method`, `model`, `family`; the floor first."""
        return self.content["methods"]

    @cached_property
    def manifests(self) -> dict[str, dict[str, Any]]:
        """Each run's split manifest, by its path, checked to be whole."""
        return {run["split"]: read_manifest(Path(run["split"]), run["split_digest"]) for run in self.runs}

    def table(self, name: str) -> pd.DataFrame:
        """Read one of the experiment's tables. Only an empty cell is missing: an entry may be called `NA`."""
        words = dict.fromkeys(("dataset", "held_out", "method", "failed"), str)
        return pd.read_csv(self.tables / name, dtype=words, keep_default_na=False, na_values=[""])

    def test_classes(self, run: dict[str, Any]) -> np.ndarray:
        """Return the class of each test image of a run, in the manifest's order.

        Raises:
            HeldoutError: the labels are not those that the split saw.
        """
        manifest = self.manifests[run["split"]]
        classes = read_labels(run["labels"]).classes[manifest["test"]]
        if dict(Counter(classes.tolist())) != manifest["counts"]["test"]:
            raise HeldoutError(f"{run['labels']} is not what the split saw; delete it and run again")
        return classes

    def test_scores(self, run: dict[str, Any], name: str) -> tuple[Scores, np.ndarray | None]:
        """Return a method's score file, and the scores of the test images in the manifest's order; none if it failed.

        Raises:
            HeldoutError: the file holds other scores than its name says.
        """
        path = Path(run["scores"][name])
        read = read_scores(path)
        if read.spec.digest not in path.name:
            raise HeldoutError(f"{path} holds other scores, {read.spec.digest}; delete it and run again")
        if read.failed:
            return read, None
        table = pd.DataFrame(read.columns)
        test = table[table.part == "test"].set_index("index")
        return read, test.score.loc[self.manifests[run["split"]]["test"]].to_numpy()

    def tasks(self) -> Iterator[tuple[tuple[str, str], list[dict[str, Any]]]]:
        """Yield each (dataset, held_out) with its runs, one per seed."""
        tasks: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for run in self.runs:
            tasks.setdefault((run["dataset"], run["held_out"]), []).append(run)
        yield from tasks.items()


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, numbers with six significant digits."""
    with whole_file(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n", float_format="%.6g")
