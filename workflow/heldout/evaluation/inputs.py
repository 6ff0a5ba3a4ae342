"""The inputs of an experiment's tables and figures, read from `results/<experiment>/inputs.json`."""

import io
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from heldout import shapes_no_number
from heldout.errors import HeldoutError, NotThere
from heldout.storage import report_records
from heldout.storage.files import delete, whole_file
from heldout.storage.hashing import DIGITS, file_sha256, sha256_of
from heldout.storage.labels import check_labels, read_labels
from heldout.storage.manifests import SplitManifest, read_manifest
from heldout.storage.report_inputs import MethodEntry, ReportInputs, RunFiles
from heldout.storage.report_records import ReportRecord
from heldout.storage.score_files import Scores, read_scores
from heldout.storage.sealed import read_sealed
from heldout.storage.sidecars import read_spec, remade


@dataclass(frozen=True)
class Inputs:
    """An experiment's methods and runs, with functions that read their files.

    Attributes:
        path: `inputs.json` itself.
        content: its content.
        sha256: of its content.
    """

    path: Path
    content: ReportInputs
    sha256: str

    @classmethod
    def read(cls, path: Path) -> "Inputs":
        """Read `inputs.json`.

        Raises:
            HeldoutError: it is missing, damaged, or of an earlier version.
        """
        try:
            content = read_sealed(Path(path), report_records.AGAIN)
        except FileNotFoundError as error:
            raise HeldoutError(f"{path} is missing; run snakemake again") from error
        try:
            return cls(Path(path), ReportInputs.of(content), sha256_of(content))
        except HeldoutError as error:
            raise HeldoutError(f"{path} is of another version ({error}); {report_records.AGAIN}") from error

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

    @cached_property
    def _written(self) -> dict[str, str]:
        """The SHA-256 of every file that the steps have written for these inputs, by path."""
        records = [found for found in report_records.all_of(self.folder).values() if found.inputs == self.sha256]
        return {path: sha256 for record in records for path, sha256 in record.written.items()}

    @shapes_no_number
    def result(self, path: Path | str) -> bytes:
        """Return the content of a file that a step has written, after comparing its hash with the step's record.

        Raises:
            HeldoutError: it is missing or damaged, or was made from other inputs.
        """
        if _name(path) not in self._written:
            raise HeldoutError(f"{path} is missing, or is not of {self.path}; run snakemake again")
        return report_records.checked(Path(path), self._written[_name(path)])

    def table(self, name: str) -> pd.DataFrame:
        """Read a table that `evaluate` wrote. Only empty cells are missing values: an entry may be called `NA`.

        Raises:
            HeldoutError: as `result`.
        """
        words = dict.fromkeys(("dataset", "held_out", "method", "failed"), str)
        content = io.BytesIO(self.result(self.tables / name))
        return pd.read_csv(content, dtype=words, keep_default_na=False, na_values=[""])

    def test_classes(self, run: RunFiles) -> np.ndarray:
        """Return the class of each test image of a run, in the manifest's order.

        Raises:
            HeldoutError: the labels differ from those that the split used.
        """
        manifest = self.manifests[run.split]
        check_labels(manifest, Path(run.labels))
        classes = read_labels(Path(run.labels)).classes[manifest.test]
        if dict(Counter(classes.tolist())) != manifest.counts["test"]:
            raise HeldoutError(f"{run.labels} differs from the labels that the split used; {remade(run.images)}")
        return classes

    def test_scores(self, run: RunFiles, name: str) -> tuple[Scores, np.ndarray | None]:
        """Return a method's score file and the test images' scores in the manifest's order; None if it failed.

        Raises:
            HeldoutError: the file is damaged, is not the planned one, or does not score each test image once.
        """
        path = Path(run.scores[name])
        read = read_scores(path)
        if read.spec.digest not in path.name:
            raise HeldoutError(f"{path} contains other scores, {read.spec.digest}; {remade(path)}")
        if read.failed:
            return read, None
        wanted = self.manifests[run.split].test
        return read, _scores_of(pd.DataFrame(read.columns), wanted, path)

    def tasks(self) -> Iterator[tuple[tuple[str, str], list[RunFiles]]]:
        """Yield each (dataset, held_out) with its runs, one per seed."""
        tasks: dict[tuple[str, str], list[RunFiles]] = {}
        for run in self.runs:
            tasks.setdefault((run.dataset, run.held_out), []).append(run)
        yield from tasks.items()

    @shapes_no_number
    @contextmanager
    def recorded(self, step: str, record: Path | None, read: Iterable[str | Path] = ()) -> Iterator[list[Path]]:
        """Delete a step's record, yield a list for the files that the step writes, and write its new record.

        Args:
            step: `evaluate`, `tables`, `manifest` or `figure_<kind>`.
            record: the record's path; None: named by the inputs.
            read: the score files, checkpoints and results that the step reads.
        """
        hashes = {_name(path): self._sha256_of(path) for path in read}
        for path in report_records.paths(self.folder, step):
            delete(path)
        files: list[Path] = []
        yield files
        written = {_name(path): file_sha256(path) for path in files}
        path = record or report_records.path_of(self.folder, step, self.sha256[:DIGITS])
        report_records.write(path, ReportRecord(inputs=self.sha256, read=hashes, written=written))

    def _sha256_of(self, path: str | Path) -> str:
        try:
            return self._written.get(_name(path)) or read_spec(path).sha256
        except NotThere as error:
            raise HeldoutError(f"{path} is missing, or is not of {self.path}; run snakemake again") from error


def _name(path: str | Path) -> str:
    """Return a path as the plan has it, relative to the project's folder, where every command runs."""
    return os.path.relpath(path)


def _scores_of(table: pd.DataFrame, images: list[int], path: Path) -> np.ndarray:
    """Return the score of each image, after checking that the test rows hold one finite score of each."""
    try:
        test = table[table.part == "test"].set_index("index").score
        scores = test.loc[images].to_numpy(float)
        is_whole = len(test) == len(scores) == len(images) and np.isfinite(scores).all()
    except (AttributeError, KeyError, ValueError, TypeError):  # a missing or unreadable column, a missing image
        is_whole = False
    if not is_whole:
        raise HeldoutError(f"{path} does not hold one finite score of each test image; {remade(path)}")
    return scores


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV, numbers with six significant digits."""
    with whole_file(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n", float_format="%.6g")
