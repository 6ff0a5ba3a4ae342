"""Join the test labels to the scores: `metrics.csv`, `roc.csv` and `histograms.csv`, every number behind the figures.

A metric of a task is the mean over its seeds, and the row `mean` the mean over the classes; resamples are averaged in
the same way before their interval is read, with the same resampled images for every method and seed of a task. Under
the protocol `folders`, which singles no class out, each anomalous class is a row against all normal images, and the row
`overall` is about all of them together.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from heldout.errors import HeldoutError
from heldout.evaluation import metrics
from heldout.evaluation.inputs import Inputs, write_table
from heldout.planning.tasks import OVERALL, WHOLE
from heldout.storage.hashing import digest
from heldout.storage.report_inputs import RunFiles
from heldout.storage.sidecars import SPEC, sidecar

MEAN = "mean"  # the row over all classes
BINS = 20
FAILED = "failed"
EMPTY_CURVE: dict[str, Any] = {"fpr": [], "tpr": [], "tpr_low": [], "tpr_high": []}
EMPTY_HISTOGRAM: dict[str, Any] = {"low": [], "high": [], "normal": [], "anomalous": []}


def evaluate(inputs_path: Path) -> None:
    """Write the three tables beside `inputs_path`.

    Raises:
        HeldoutError: a score file is damaged, or was made from another checkpoint than the one beside it.
    """
    inputs = Inputs.read(inputs_path)
    evaluated = [task for about, runs in inputs.tasks() for task in _tasks(inputs, *about, runs)]
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
    write_table(inputs.tables / "metrics.csv", pd.DataFrame(rows))
    write_table(inputs.tables / "roc.csv", _joined(curves))
    write_table(inputs.tables / "histograms.csv", _joined(histograms))


def _tasks(inputs: Inputs, dataset: str, held_out: str, runs: list[RunFiles]) -> list["_Evaluated"]:
    """Return what is evaluated of a task: the whole of it, or first each group of anomalies by itself."""
    if held_out != WHOLE:
        return [_Evaluated(inputs, dataset, held_out, runs)]
    groups = inputs.manifests[runs[0].split]["anomalous"]
    alone = [_Evaluated(inputs, dataset, group, runs, [group]) for group in groups] if len(groups) > 1 else []
    return [*alone, _Evaluated(inputs, dataset, OVERALL, runs)]


class _Evaluated:
    """A dataset and class: for every method, the metrics and resamples of each seed.

    Args:
        anomalous: the anomalous classes that count; none: all of them.
    """

    def __init__(
        self,
        inputs: Inputs,
        dataset: str,
        held_out: str,
        runs: list[RunFiles],
        anomalous: list[str] | None = None,
    ) -> None:
        self.dataset, self.held_out = dataset, held_out
        manifest = inputs.manifests[runs[0].split]
        self.normal, self.anomalous = manifest["normal"], anomalous or manifest["anomalous"]
        classes = inputs.test_classes(runs[0])
        counted = np.isin(classes, [*self.normal, *self.anomalous])
        self.is_anomalous = np.isin(classes[counted], self.anomalous)
        rng = np.random.default_rng(int(digest(["bootstrap", manifest["content"]["test"]]), 16))
        counts = metrics.resample_counts(self.is_anomalous, inputs.content.bootstrap, rng)
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

    def histograms(self) -> list[dict[str, Any]]:
        """Counts of normal and anomalous test images by score, over all seeds; one table per method."""
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
    """Means over seeds and classes with their intervals; nothing but the reason where a class has failed."""
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
        resampled = np.mean([[seed.metrics[metric] for seed in task.resampled[name]] for task in tasks], axis=(0, 1))
        low, high = metrics.interval(resampled)
        spread = np.std(by_seed, ddof=1) if len(by_seed) > 1 else None
        row |= {metric: by_seed.mean(), f"{metric}_low": low, f"{metric}_high": high, f"{metric}_seed_sd": spread}
    return row


def _curve(tasks: list[_Evaluated], name: str) -> dict[str, Any]:
    """The ROC curve, averaged at each false positive rate, with the interval of its true positive rate."""
    if any(name in task.failures for task in tasks):
        return EMPTY_CURVE
    curves = [metrics.curve(task.is_anomalous, scores) for task in tasks for scores in task.scores[name]]
    resampled = np.mean([seed.tpr for task in tasks for seed in task.resampled[name]], axis=0)
    low, high = metrics.interval(resampled)
    return {"fpr": metrics.GRID, "tpr": np.mean(curves, axis=0), "tpr_low": low, "tpr_high": high}


def _joined(tables: list[dict[str, Any]]) -> pd.DataFrame:
    """Return one table of all rows; the columns stand even where every method has failed."""
    frames = [pd.DataFrame(table) for table in tables]
    return pd.concat([frame for frame in frames if len(frame)] or frames[:1])


def _refuse_other_sources(scores: Path, run: RunFiles, model: str | None) -> None:
    """Raise HeldoutError if what a score was made from, directly or by way of it, is not what lies here now."""
    beside = _beside(scores)
    for path in map(Path, run.scores.values()):
        if path.name in beside.get("joined_sha256", {}):
            _refuse_another(scores, path, beside["joined_sha256"][path.name])
    if model is None:
        return
    checkpoint = Path(run.checkpoints[model])
    _refuse_another(scores, checkpoint, beside["checkpoint_sha256"])
    trained = _beside(checkpoint)
    parent = trained.get("spec", {}).get("parent")
    for path in map(Path, run.checkpoints.values()):
        if parent and parent["digest"] in path.name:
            _refuse_another(checkpoint, path, trained["parent_sha256"])


def _refuse_another(made: Path, source: Path, sha256: str) -> None:
    there = _beside(source)
    if there and there["sha256"] != sha256:
        raise HeldoutError(f"{made} was made from another {source}; delete it and run again")


def _beside(path: Path) -> dict[str, Any]:
    """Return what stands beside a file; nothing where scores are evaluated by hand without the checkpoints."""
    beside = sidecar(path, SPEC)
    return json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
