"""The plan of an experiment: its runs, preparations, splits, trainings and scorings.

Planning needs no data and imports no plug-in: it uses the datasets' published checksums, the stored schema of
parameters, and the text of the source code. Therefore it takes about as long as Snakemake itself.
"""

import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from heldout.planning import schema
from heldout.planning.figure_subjects import subjects
from heldout.planning.identity import source_digest
from heldout.planning.resolve import DatasetEntry, Entry, Resolved
from heldout.planning.steps import External, PrepareStep, Run, ScoreStep, SplitStep, Step, TrainStep
from heldout.planning.tasks import normal_classes
from heldout.storage.folders import FETCHED, known_md5_of, require
from heldout.storage.report_inputs import Subject
from heldout.storage.sidecars import TIMING, sidecar
from heldout.storage.specs import Join, Parent, PrepareSpec, ScoreSpec, SplitSpec, TrainSpec

UNKNOWN_MD5 = "0" * 32  # of a folder that is missing and has no `md5` in the experiment
FIGURE_FORMATS = ("svg", "png")
EVALUATED = ("metrics.csv", "roc.csv", "histograms.csv")  # the inputs of the other tables and of the figures
WRITTEN = (
    *(f"{table}.{form}" for table in ("auroc", "auprc") for form in ("csv", "md", "tex")),
    *(f"runtime.{form}" for form in ("csv", "md")),
)


class Plan:
    """The steps of an experiment and the paths of its results.

    Args:
        experiment: a checked experiment.
        without_folders: whether to plan even if an image folder without `md5` is missing; the digests of its steps are
            then placeholders.

    Attributes:
        runs: one per data set, class and seed.
        steps: every step, by its digest.
        evaluated, written: the tables that `evaluate` writes, and those that `tables` derives from them.

    Raises:
        NotThere: an image folder without `md5` is missing.
    """

    def __init__(self, experiment: Resolved, without_folders: bool = False) -> None:
        self.experiment = experiment
        self.settings = experiment.settings
        self.runs = [
            self._run(dataset, prepared, held_out, seed)
            for dataset in experiment.datasets.values()
            for prepared in [_preparation(dataset, without_folders)]
            for held_out in experiment.held_out[dataset.name]
            for seed in self.settings.seeds
        ]
        self.steps: dict[str, Step] = {step.digest: step for run in self.runs for step in run.steps}
        self.folder = f"results/{self.settings.experiment}"
        self.inputs = f"{self.folder}/inputs.json"
        self.evaluated = [f"{self.folder}/tables/{name}" for name in EVALUATED]
        self.written = [f"{self.folder}/tables/{name}" for name in WRITTEN]
        self.tables = [*self.evaluated, *self.written]
        self.metrics = f"{self.folder}/metrics.json"
        self.manifest = f"{self.folder}/manifest.json"

    @cached_property
    def checkpoints(self) -> list[str]:
        return _paths(training for run in self.runs for training in run.trainings.values())

    @cached_property
    def scores(self) -> list[str]:
        return _paths(scoring for run in self.runs for scoring in run.scorings.values())

    @cached_property
    def trained_and_scored(self) -> list[TrainStep | ScoreStep]:
        """Every training and scoring, once."""
        return [step for step in self.steps.values() if isinstance(step, TrainStep | ScoreStep)]

    @cached_property
    def splits(self) -> list[str]:
        return _paths(run.split for run in self.runs)

    @cached_property
    def preparations(self) -> list[PrepareStep]:
        """Every preparation, once."""
        return [step for step in self.steps.values() if isinstance(step, PrepareStep)]

    @cached_property
    def images(self) -> list[str]:
        return _paths(self.preparations)

    @cached_property
    def labels(self) -> list[str]:
        return [prepared.labels for prepared in self.preparations]

    @cached_property
    def timings(self) -> list[str]:
        return [str(sidecar(path, TIMING)) for path in (*self.checkpoints, *self.scores)]

    @cached_property
    def subjects(self) -> dict[str, list[Subject]]:
        """The figures of each kind."""
        return subjects(self.experiment)

    @cached_property
    def figures(self) -> dict[str, list[str]]:
        """The files of each kind of figure."""
        return {
            kind: [f"{self.folder}/figures/{subject.stem}.{form}" for subject in drawn for form in FIGURE_FORMATS]
            for kind, drawn in self.subjects.items()
        }

    def _run(self, dataset: DatasetEntry, prepared: PrepareStep, held_out: str, seed: int) -> Run:
        protocol = self.settings.protocol
        task: dict[str, Any] = {"dataset": dataset.plugin, "protocol": protocol, "held_out": held_out}
        place = f"{dataset.plugin}/{protocol}/{held_out}"
        classes = dataset.classes
        spec = SplitSpec(
            **task,
            classes=classes,
            normal=normal_classes(protocol, held_out, classes, dataset.normal),
            prepared=prepared.digest,
            **dataset.split.model_dump(),
            source=source_digest("split"),
        )
        split = SplitStep(spec, f"data/splits/{place}/seed{spec.split_seed}-{spec.digest}.json", prepared)
        place = f"{place}/seed{seed}"
        task |= {"split": split.digest, "seed": seed, "threads": self.settings.threads}
        models, methods = self.experiment.models.values(), self.experiment.methods.values()
        trainings: dict[str, TrainStep] = {}
        for entry in sorted(models, key=lambda entry: entry.model is not None):  # parents first
            parent = trainings[entry.model] if entry.model else None
            trainings[entry.name] = self._training(entry, task, place, split, parent)
        scorings: dict[str, ScoreStep] = {}
        for entry in sorted(methods, key=lambda entry: bool(entry.joins)):  # combinations last
            scorings[entry.name] = self._scoring(entry, task, place, split, trainings, scorings)
        trainings = {entry.name: trainings[entry.name] for entry in models}  # in the order of the experiment again
        scorings = {entry.name: scorings[entry.name] for entry in methods}
        return Run(dataset, held_out, seed, prepared, split, trainings, scorings)

    def _training(
        self, entry: Entry, task: dict[str, Any], place: str, split: SplitStep, parent: TrainStep | None
    ) -> TrainStep:
        trained_on = None
        if parent:
            trained_on = Parent(digest=parent.digest, model=parent.spec.model, params=parent.spec.params)
        is_conditional = schema.plugins("model")[entry.plugin]["conditional"]
        spec = TrainSpec(
            **task,
            model=entry.plugin,
            params=entry.params,
            parent=trained_on,
            normal_classes=len(split.spec.normal) if is_conditional else None,
            precision=self.settings.precision,
            source=source_digest("train", entry.plugin),
        )
        path = f"results/checkpoints/{place}/{entry.plugin}-{spec.digest}.safetensors"
        return TrainStep(spec, path, split.images, split, parent)

    def _scoring(
        self,
        entry: Entry,
        task: dict[str, Any],
        place: str,
        split: SplitStep,
        trainings: dict[str, TrainStep],
        scorings: dict[str, ScoreStep],
    ) -> ScoreStep:
        checkpoint = trainings[entry.model] if entry.model else None
        weights = External(f"data/raw/{entry.weights}/{FETCHED}") if entry.weights else None
        spec = ScoreSpec(
            **task,
            method=entry.plugin,
            params=entry.params,
            checkpoint=checkpoint.digest if checkpoint else None,
            joins=tuple(Join(digest=scorings[name].digest, column=column) for name, column in entry.joins),
            supervision=entry.supervision,
            weights=schema.plugins("weight")[entry.weights]["files"] if entry.weights else {},
            source=source_digest(*(("combine", entry.params["by"]) if entry.joins else ("score", entry.plugin))),
        )
        joined = tuple(scorings[name] for name, _ in entry.joins)
        path = f"results/scores/{place}/{entry.plugin}-{spec.digest}.parquet"
        return ScoreStep(spec, path, split.images, split, checkpoint, joined, weights)


def _preparation(dataset: DatasetEntry, without_folder: bool) -> PrepareStep:
    options = dict(dataset.params)
    folder = options.pop("folder", None)  # the digest covers the folder's content, not its path
    folder = folder and os.path.expanduser(folder)
    options.pop("normal", None)  # affects the split, not the images
    if folder is not None:
        if not options["md5"] and not (without_folder and not Path(folder).exists()):
            require(Path(folder), dataset.plugin, ", and without its `md5` the experiment cannot be planned")
            options["md5"] = known_md5_of(Path(folder))
        options["md5"] = (options["md5"] or UNKNOWN_MD5).removesuffix(".dir")
    spec = PrepareSpec(
        dataset=dataset.plugin,
        options=options,
        files=schema.plugins("dataset")[dataset.plugin]["files"],
        source=source_digest("prepare", dataset.plugin),
    )
    raw = External(str(Path(folder or f"data/raw/{dataset.plugin}/{FETCHED}")))
    return PrepareStep(spec, f"data/prepared/{dataset.plugin}-{spec.digest}.npy", raw)


def _paths(steps: Iterable[Step]) -> list[str]:
    return list(dict.fromkeys(step.path for step in steps))  # entries with equal parameters share a file
