"""The inputs of an experiment's tables and figures, read from `results/<experiment>/inputs.json`."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from heldout.errors import HeldoutError
from heldout.storage.files import whole_file
from heldout.storage.labels import read_labels
from heldout.storage.manifests import SplitManifest, read_manifest
from heldout.storage.report_inputs import MethodEntry, ReportInputs, RunFiles
from heldout.storage.score_files import Scores, read_scores


@dataclass(frozen=True)
class Inputs:
    """An experiment's methods and runs, with functions that read their files.

    Attributes:
        path: `inputs.json` itself.
        content: its content.
    """

    path: Path
    content: ReportInputs

    @classmethod
    def read(cls, path: Path) -> "Inputs":
        return cls(Path(path), ReportInputs.parse(Path(path).read_text(encoding="utf-8")))

    @property
    def folder(self) -> Path:
        return self.path.parent

    @property
    def tables(self) -> Path:
        return self.folder / "tables"

    @property
    def runs(self) -> list[RunFiles]:
        return self.content.runs

    @property
    def methods(self) -> dict[str, MethodEntry]:
        """The entries of `methods` by name, the floor first."""
        return self.content.methods

    @property
    def families(self) -> dict[str, str]:
        """The family of each entry of `methods`, in the same order."""
        return {name: entry.family for name, entry in self.methods.items()}

    @cached_property
    def manifests(self) -> dict[str, SplitManifest]:
        """The split manifest of each run, by path, checked against the planned digest."""
        return {run.split: read_manifest(Path(run.split), run.split_digest) for run in self.runs}

    def table(self, name: str) -> pd.DataFrame:
        """Read a table of the experiment. Only empty cells are missing values, since an entry may be named `NA`."""
        words = dict.fromkeys(("dataset", "held_out", "method", "failed"), str)
        return pd.read_csv(self.tables / name, dtype=words, keep_default_na=False, na_values=[""])

    def test_classes(self, run: RunFiles) -> np.ndarray:
        """Return the class of each test image of a run, in the manifest's order.

        Raises:
            HeldoutError: the labels differ from those that the split used.
        """
        manifest = self.manifests[run.split]
        classes = read_labels(Path(run.labels)).classes[manifest.test]
        if dict(Counter(classes.tolist())) != manifest.counts["test"]:
            raise HeldoutError(f"{run.labels} differs from the labels that the split used; delete it and run again")
        return classes

    def test_scores(self, run: RunFiles, name: str) -> tuple[Scores, np.ndarray | None]:
        """Return a method's score file and the test images' scores in the manifest's order; None if it failed.

        Raises:
            HeldoutError: the digest in the file's name is not that of its content.
        """
        path = Path(run.scores[name])
        read = read_scores(path)
        if read.spec.digest not in path.name:
            raise HeldoutError(f"{path} contains other scores, {read.spec.digest}; delete it and run again")
        if read.failed:
            return read, None
        table = pd.DataFrame(read.columns)
        test = table[table.part == "test"].set_index("index")
        return read, test.score.loc[self.manifests[run.split].test].to_numpy()

    def tasks(self) -> Iterator[tuple[tuple[str, str], list[RunFiles]]]:
        """Yield each (dataset, held_out) with its runs, one per seed."""
        tasks: dict[tuple[str, str], list[RunFiles]] = {}
        for run in self.runs:
            tasks.setdefault((run.dataset, run.held_out), []).append(run)
        yield from tasks.items()


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, numbers with six significant digits."""
    with whole_file(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n", float_format="%.6g")
