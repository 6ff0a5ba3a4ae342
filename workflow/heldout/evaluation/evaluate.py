"""Join test labels and scores: write `metrics.csv`, `roc.csv` and `histograms.csv`, the numbers behind all tables.

The metric of a held-out class is the mean over its seeds; the row `mean` is the mean over the classes. AUROC and
average precision have the intervals of `heldout.evaluation.intervals`. The other metrics and the curves have the
percentiles of a bootstrap: the test images of a dataset are resampled once for all classes, methods and seeds, and
resamples are averaged like the metric before their quantiles are taken. Under the protocol `folders` there is a row per
anomalous class, against all normal images, and a row `overall` for all anomalous classes together.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from heldout.errors import HeldoutError
from heldout.evaluation import intervals, metrics
from heldout.evaluation.inputs import Inputs, write_table
from heldout.planning.tasks import OVERALL, WHOLE
from heldout.storage.hashing import digest
from heldout.storage.report_inputs import RunFiles
from heldout.storage.sidecars import SPEC, read_spec, remade, sidecar

MEAN = "mean"  # the row over all classes
BINS = 20
FAILED = "failed"
EMPTY_CURVE: dict[str, Any] = {"fpr": [], "tpr": [], "tpr_low": [], "tpr_high": []}
EMPTY_HISTOGRAM: dict[str, Any] = {"low": [], "high": [], "normal": [], "anomalous": []}


def evaluate(inputs_path: Path, record: Path | None = None) -> None:
    """Write the three tables beside `inputs_path`, and the step's record.

    Args:
        inputs_path: the experiment's `inputs.json`.
        record: the record's path; None: named by the inputs.

    Raises:
        HeldoutError: a score file is damaged, or was made from another checkpoint than the one beside it.
    """
    inputs = Inputs.read(inputs_path)
    resampled = {name: _Resamples(inputs, name) for name in dict.fromkeys(run.dataset for run in inputs.runs)}
    evaluated = [task for about, runs in inputs.tasks() for task in _tasks(inputs, resampled[about[0]], *about, runs)]
    rows, curves = [], []
    for dataset in dict.fromkeys(task.dataset for task in evaluated):
        tasks = [task for task in evaluated if task.dataset == dataset]
        for name in inputs.methods:
            together = [] if tasks[-1].held_out == OVERALL else [(tasks, MEAN)]
            for group, held_out in [*(([task], task.held_out) for task in tasks), *together]:
                key = {"dataset": dataset, "held_out": held_out, "method": name}
                rows.append(key | _summary(group, name))
                curves.append(key | _curve(group, name))
    histograms = [table for task in evaluated for table in task.histograms()]
    tables = {"metrics.csv": pd.DataFrame(rows), "roc.csv": _joined(curves), "histograms.csv": _joined(histograms)}
    read = [path for run in inputs.runs for path in run.scores.values()]
    # A score is refused if another checkpoint than its own is there. So a checkpoint that changes makes tables stale.
    read += [path for run in inputs.runs for path in run.checkpoints.values() if sidecar(path, SPEC).is_file()]
    with inputs.recorded("evaluate", record, read) as written:
        for name, table in tables.items():
            write_table(inputs.tables / name, table)
            written.append(inputs.tables / name)


def _tasks(
    inputs: Inputs, resamples: "_Resamples", dataset: str, held_out: str, runs: list[RunFiles]
) -> list["_Evaluated"]:
    """Return the rows of a task: one or, under `folders`, one per group of anomalies and one for all groups."""
    if held_out != WHOLE:
        return [_Evaluated(inputs, resamples, dataset, held_out, runs)]
    groups = inputs.manifests[runs[0].split].anomalous
    alone = [_Evaluated(inputs, resamples, dataset, group, runs, [group]) for group in groups]
    return [*(alone if len(groups) > 1 else []), _Evaluated(inputs, resamples, dataset, OVERALL, runs)]


class _Resamples:
    """How often each resample draws each test image of a dataset, the same for all its classes."""

    def __init__(self, inputs: Inputs, dataset: str) -> None:
        tested = {run.split: run for run in inputs.runs if run.dataset == dataset}
        positions = [np.array(inputs.manifests[split].test) for split in tested]
        self.positions = np.unique(np.concatenate(positions))
        self.classes = np.empty(len(self.positions), object)
        tested_by = np.zeros((len(self.positions), len(tested)), int)
        for column, run in enumerate(tested.values()):
            rows = np.searchsorted(self.positions, positions[column])
            self.classes[rows] = inputs.test_classes(run)
            tested_by[rows, column] = 1
        # Where classes are tested on different images, each of them must keep the number of its images.
        numbers = np.unique(self.classes.astype(str), return_inverse=True)[1]
        strata = np.unique(np.column_stack([numbers, tested_by]), axis=0, return_inverse=True)[1]
        content = sorted({inputs.manifests[split].content["test"] for split in tested})
        rng = np.random.default_rng(int(digest(["bootstrap", content]), 16))
        self.counts = metrics.resample_counts(strata, inputs.content.bootstrap, rng)

    def of(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the `(N,)` classes and `(resamples, N)` counts of the images at `positions` of the prepared array."""
        columns = np.searchsorted(self.positions, positions)
        return self.classes[columns], self.counts[:, columns]


class _Evaluated:
    """One row of the tables: the metrics and resamples of every method and seed.

    Args:
        anomalous: the anomalous classes to count; None: all of them.
    """

    def __init__(
        self,
        inputs: Inputs,
        resamples: _Resamples,
        dataset: str,
        held_out: str,
        runs: list[RunFiles],
        anomalous: list[str] | None = None,
    ) -> None:
        self.dataset, self.held_out = dataset, held_out
        manifest = inputs.manifests[runs[0].split]
        self.normal, self.anomalous = manifest.normal, anomalous or manifest.anomalous
        positions = np.array(manifest.test)
        classes, counts = resamples.of(positions)
        counted = np.isin(classes, [*self.normal, *self.anomalous])
        self.is_anomalous = np.isin(classes[counted], self.anomalous)
        self.positions, counts = positions[counted], counts[:, counted]
        self.failures: dict[str, str] = {}
        self.scores: dict[str, list[np.ndarray]] = {name: [] for name in inputs.methods}
        self.values: dict[str, list[dict[str, float]]] = {name: [] for name in inputs.methods}
        self.resampled: dict[str, list[metrics.Resampled]] = {name: [] for name in inputs.methods}
        for run in runs:
            for name in inputs.methods:
                _refuse_other_sources(Path(run.scores[name]), run, inputs.methods[name].model)
                read, scores = inputs.test_scores(run, name)
                if scores is None:
                    self.failures[name] = f"{read.failed} (seed {run.seed})"
                    continue
                scores = scores[counted]
                self.scores[name].append(scores)
                self.values[name].append(metrics.point_values(self.is_anomalous, scores))
                self.resampled[name].append(metrics.bootstrap(self.is_anomalous, scores, counts))

    def part(self, name: str, metric: str) -> intervals.Part:
        """Return the influence of the test images on a metric of a method."""
        return intervals.Part.of(metric, self.positions, self.is_anomalous, self.scores[name])

    def histograms(self) -> list[dict[str, Any]]:
        """Return a histogram of scores per method: counts of normal and anomalous test images, summed over seeds."""
        tables = []
        for name, seeds in self.scores.items():
            key = {"dataset": self.dataset, "held_out": self.held_out, "method": name}
            if not seeds:
                tables.append(key | EMPTY_HISTOGRAM)
                continue
            scores, is_anomalous = np.concatenate(seeds), np.tile(self.is_anomalous, len(seeds))
            edges = np.histogram_bin_edges(scores, BINS)
            columns: dict[str, Any] = {
                "low": edges[:-1],
                "high": edges[1:],
                "normal": np.histogram(scores[~is_anomalous], edges)[0],
                "anomalous": np.histogram(scores[is_anomalous], edges)[0],
            }
            tables.append(key | columns)
        return tables


def _summary(tasks: list[_Evaluated], name: str) -> dict[str, Any]:
    """Return means over seeds and classes with their intervals; if a class has failed, only the reason."""
    row: dict[str, Any] = {
        "normal": " ".join(tasks[0].normal) if len(tasks) == 1 else "",
        "anomalous": " ".join(tasks[0].anomalous) if len(tasks) == 1 else "",
        "test_images": sum(len(task.is_anomalous) for task in tasks),
        "share_of_anomalies": np.mean([task.is_anomalous.mean() for task in tasks]),
        "seeds": min(len(task.values[name]) for task in tasks),
        FAILED: "; ".join(f"{task.held_out}: {task.failures[name]}" for task in tasks if name in task.failures),
    }
    for metric in metrics.METRICS:
        if row[FAILED]:
            row |= {metric: None, f"{metric}_low": None, f"{metric}_high": None, f"{metric}_seed_sd": None}
            continue
        by_seed = np.mean([[values[metric] for values in task.values[name]] for task in tasks], axis=0)
        if metric in intervals.PRIOR:
            parts = [task.part(name, metric) for task in tasks]
            low, high = intervals.interval(metric, by_seed.mean(), parts, by_seed)
        else:
            drawn = [[seed.metrics[metric] for seed in task.resampled[name]] for task in tasks]
            low, high = map(float, metrics.percentiles(np.mean(drawn, axis=(0, 1))))
        spread = np.std(by_seed, ddof=1) if len(by_seed) > 1 else None
        row |= {metric: by_seed.mean(), f"{metric}_low": low, f"{metric}_high": high}
        row[f"{metric}_seed_sd"] = spread
    return row


def _curve(tasks: list[_Evaluated], name: str) -> dict[str, Any]:
    """Return the mean ROC curve on `metrics.GRID`, with the interval of its true positive rate."""
    if any(name in task.failures for task in tasks):
        return EMPTY_CURVE
    curves = [metrics.curve(task.is_anomalous, scores) for task in tasks for scores in task.scores[name]]
    resampled = np.mean([seed.tpr for task in tasks for seed in task.resampled[name]], axis=0)
    low, high = metrics.percentiles(resampled)
    return {"fpr": metrics.GRID, "tpr": np.mean(curves, axis=0), "tpr_low": low, "tpr_high": high}


def _joined(tables: list[dict[str, Any]]) -> pd.DataFrame:
    """Return one table of all rows; if every method has failed, an empty one with all columns."""
    frames = [pd.DataFrame(table) for table in tables]
    return pd.concat([frame for frame in frames if len(frame)] or frames[:1])


def _refuse_other_sources(scores: Path, run: RunFiles, model: str | None) -> None:
    """Raise HeldoutError unless the checkpoint, its parent and the joined scores are those a score was made from."""
    made = read_spec(scores)
    for path in map(Path, run.scores.values()):
        if path.name in made.joined_sha256:
            _refuse_another(scores, path, made.joined_sha256[path.name])
    if model is None:
        return
    checkpoint = Path(run.checkpoints[model])
    if not sidecar(checkpoint, SPEC).is_file():  # scores may be evaluated without checkpoints
        return
    _refuse_another(scores, checkpoint, made.checkpoint_sha256)
    trained = read_spec(checkpoint)
    parent = trained.spec.get("parent")
    for path in map(Path, run.checkpoints.values()):
        if parent and parent["digest"] in path.name:
            _refuse_another(checkpoint, path, trained.parent_sha256)


def _refuse_another(made: Path, source: Path, sha256: str | None) -> None:
    if sidecar(source, SPEC).is_file() and read_spec(source).sha256 != sha256:
        raise HeldoutError(f"{made} was made from another {source}; {remade(made)}")
