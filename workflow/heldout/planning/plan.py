"""From an experiment to every file it needs: runs, trainings, scorings, their specs, digests and names.

Nothing here needs the data or imports a plug-in: datasets are known by their published checksums, parameters by the
stored schema, source code by its syntax tree. So Snakemake plans in the time of Snakemake itself.
"""

import json
import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from heldout.errors import HeldoutError
from heldout.planning import schema
from heldout.planning.experiment import MIRROR_VARIABLE, Entry, Resolved, classes_of, normal_named
from heldout.planning.identity import ALWAYS, IMAGES, source_digest
from heldout.planning.tasks import normal_classes, rows
from heldout.storage.files import SCRATCH, write_text
from heldout.storage.folders import FETCHED, known_md5_of, require
from heldout.storage.hashing import digest
from heldout.storage.sidecars import BESIDE, LABELS, TIMING, sidecar
from heldout.storage.specs import Join, Parent, PrepareSpec, ScoreSpec, SplitSpec, TrainSpec

UNKNOWN_MD5 = "0" * 32  # of a folder that is neither pinned nor there
FIGURE_FORMATS = ("svg", "png")
EVALUATED = ("metrics.csv", "roc.csv", "histograms.csv")  # what the other tables and the figures are made from
WRITTEN = (
    *(f"{table}.{form}" for table in ("auroc", "auprc") for form in ("csv", "md", "tex")),
    *(f"runtime.{form}" for form in ("csv", "md")),
)


@dataclass(frozen=True)
class Step:
    """One file that a rule makes, and everything that determines it.

    Attributes:
        spec: what determines the file; None for what is fetched, and for a user's folder.
        path: where the file goes.
        inputs: the steps whose files it reads.
    """

    spec: Any
    path: str
    inputs: dict[str, "Step"]

    @property
    def digest(self) -> str:
        return self.spec.digest

    @property
    def is_made(self) -> bool:
        """Whether the file is there with all that its rule writes beside it."""
        beside = (sidecar(self.path, kind) for kind in (BESIDE[self.spec.step] if self.spec else ()))
        return all(path.exists() for path in (Path(self.path), *beside))


@dataclass(frozen=True)
class Run:
    """One task and one seed: a dataset's entry, a class, and what is trained and scored on it, by entry."""

    dataset: Entry
    held_out: str
    seed: int
    prepared: Step
    split: Step
    trainings: dict[str, Step]
    scorings: dict[str, Step]


class Plan:
    """Every file of an experiment, for the rules to wire.

    Args:
        experiment: a checked experiment.
        is_forced: whether Snakemake was told to make files anew that are there; known only once it plans.
        without_folders: whether to plan although an image folder that is not pinned is missing: which steps there are
            is known without it, their digests are not.

    Raises:
        NotThere: an image folder is missing without which there is no plan.
    """

    def __init__(
        self, experiment: Resolved, is_forced: Callable[[], bool] = lambda: False, without_folders: bool = False
    ) -> None:
        self.experiment = experiment
        self.is_forced = is_forced
        self.settings = experiment.settings
        self.runs = [
            self._run(dataset, prepared, held_out, seed)
            for dataset in experiment.datasets.values()
            for prepared in [_preparation(dataset, without_folders)]
            for held_out in experiment.held_out[dataset.name]
            for seed in self.settings.seeds
        ]
        self.steps = {step.digest: step for run in self.runs for step in _steps_of(run)}
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
    def trained_and_scored(self) -> list[Step]:
        """Every training and scoring, once."""
        return [step for step in self.steps.values() if step.spec.step in ("train", "score")]

    @cached_property
    def splits(self) -> list[str]:
        return _paths(run.split for run in self.runs)

    @cached_property
    def images(self) -> list[str]:
        return _paths(run.prepared for run in self.runs)

    @cached_property
    def labels(self) -> list[str]:
        return [labels_of(path) for path in self.images]

    @cached_property
    def timings(self) -> list[str]:
        return [str(sidecar(path, TIMING)) for path in (*self.checkpoints, *self.scores)]

    @cached_property
    def figures(self) -> dict[str, list[str]]:
        """The files of each kind of figure."""
        return {
            kind: [f"{self.folder}/figures/{drawn['stem']}.{form}" for drawn in drawn_ones for form in FIGURE_FORMATS]
            for kind, drawn_ones in self._drawn.items()
        }

    def reads(self, kind: str, what: str) -> list[str]:
        """The `tables`, `checkpoints`, `scores` or `labels` that a kind of figure is made from; none if it needs none.

        With checkpoints and with labels come the images that they are of.
        """
        images = [*self.images, *self.splits]
        files = {
            "tables": self.evaluated,
            "checkpoints": [*self.checkpoints, *images],
            "scores": self.scores,
            "labels": [*self.labels, *images],
        }
        return files[what] if what in schema.plugins("figure")[kind]["reads"] else []

    @property
    def mirror(self) -> str:
        """Where datasets are fetched from: the experiment's mirror, the environment's, or none."""
        return self.settings.mirror or os.environ.get(MIRROR_VARIABLE, "")

    @property
    def gpus(self) -> int:
        """GPUs that a training asks Snakemake for: 0 on the CPU, where such a job would queue for ever."""
        wanted = self.settings.device
        return int(wanted.startswith("cuda") or (wanted == "auto" and _has_gpu()))

    def gpus_to_score(self, wildcards: Any) -> int:
        """GPUs that a scoring asks for: none where no network takes part."""
        return self.gpus if uses_network(self.step(wildcards).spec) else 0

    def device_to_score(self, wildcards: Any) -> str:
        """The device of a scoring: without a network the CPU, since it would hold a GPU's place for nothing."""
        return self.settings.device if uses_network(self.step(wildcards).spec) else "cpu"

    def step(self, wildcards: Any) -> Step:
        """Return the step behind a file name.

        Raises:
            HeldoutError: the experiment has no file of this name.
        """
        if wildcards.digest not in self.steps:
            raise HeldoutError(f"{self.settings.experiment} has no file with the digest {wildcards.digest}")
        return self.steps[wildcards.digest]

    def spec(self, wildcards: Any) -> str:
        """Return a step's spec as canonical JSON: Snakemake would print a dict as Python does."""
        return self.step(wildcards).spec.canonical

    def input(self, name: str) -> Any:
        """Return an input function for rules: the path of the step's input `name`, or nothing where it has none.

        A file that is there is valid by its name and needs no input that is gone: Snakemake, told of one, would make
        both anew, and train again every pulled checkpoint whose images were not pulled. Unless the run is told to make
        things anew: then it needs all.
        """

        def path(wildcards: Any) -> str | list[str]:
            step = self.step(wildcards)
            wanted = step.inputs.get(name)
            unneeded = step.is_made and not self.is_forced()
            return [] if wanted is None or (unneeded and not wanted.is_made) else wanted.path

        return path

    def raw_input(self, wildcards: Any) -> str | list[str]:
        """Return what `prepare` waits for: nothing where a user's folder is missing, so that a dry run can go on.

        `require_folders` stops the others.
        """
        raw = self.input("raw")(wildcards)
        return raw if raw and (Path(raw).name == FETCHED or Path(raw).exists()) else []

    def joined(self, wildcards: Any) -> list[str]:
        """Return the score files that a scoring joins, each once."""
        names = [name for name in self.step(wildcards).inputs if name.startswith("join")]
        return list(dict.fromkeys(path for name in names if (path := self.input(name)(wildcards))))

    def sources(self, given: Any) -> str:
        """Return what a scoring's command says of its inputs beyond images and split; most have one of the three."""
        words = ["--checkpoint", given.checkpoint] if given.checkpoint else []
        for path in given.joined:
            words += ["--joined", path]
        words += ["--weights", str(Path(given.weights).parent)] if given.weights else []
        return shlex.join(words)

    def raw_folder(self, wildcards: Any) -> str:
        """Return the folder that `prepare` reads: the fetched one, or the user's own."""
        raw = Path(self.step(wildcards).inputs["raw"].path)
        return str(raw.parent if raw.name == FETCHED else raw)

    def require_folders(self) -> None:
        """Raise NotThere if a user's folder is needed and missing; Snakemake would name its rule, not the cause."""
        for prepared in {run.prepared.path: run.prepared for run in self.runs}.values():
            folder = Path(prepared.inputs["raw"].path)
            if folder.name != FETCHED and not prepared.is_made:
                require(folder, prepared.spec.dataset)

    def labels_input(self, wildcards: Any) -> str | list[str]:
        images = self.input("images")(wildcards)
        return labels_of(images) if images else []

    @cached_property
    def planned(self) -> str:
        """Where the list of what the tables are made from is written while planning."""
        return f"results/{SCRATCH}/inputs-{digest(self._inputs())}.json"

    @cached_property
    def inputs_changed(self) -> bool:
        """Write down what the tables are to be made from; return whether that differs from what they were made from.

        Snakemake, which compares modification times, would not notice a changed set. A rule copies the list into the
        experiment's folder, so that a dry run, or a run that finds the folder locked, changes nothing there.
        """
        text = json.dumps(self._inputs(), indent=1, ensure_ascii=False) + "\n"
        inputs, planned = Path(self.inputs), Path(self.planned)
        changed = not inputs.is_file() or inputs.read_text(encoding="utf-8") != text
        if changed or not planned.is_file():
            write_text(planned, text)
        return changed

    def _inputs(self) -> dict[str, Any]:
        methods = schema.plugins("method")
        return {
            "experiment": self.settings.experiment,
            "bootstrap": self.settings.bootstrap,
            "source": {name: source_digest(f"heldout.{name}") for name in self._reporting()},
            "methods": {
                shown(entry): {
                    "method": entry.plugin,
                    "model": entry.model,
                    "family": methods[entry.plugin]["family"],
                    "supervision": entry.supervision,
                }
                for entry in self._floor_first()
            },
            "runs": [
                {
                    "dataset": run.dataset.name,
                    "protocol": self.settings.protocol,
                    "held_out": run.held_out,
                    "seed": run.seed,
                    "images": run.prepared.path,
                    "labels": labels_of(run.prepared.path),
                    "split": run.split.path,
                    "split_digest": run.split.digest,
                    "checkpoints": {name: step.path for name, step in run.trainings.items()},
                    "scores": {shown(entry): run.scorings[entry.name].path for entry in self._floor_first()},
                }
                for run in self.runs
            ],
            "figures": self._drawn,
            "results": [*self.tables, *(path for paths in self.figures.values() for path in paths), self.metrics],
        }

    def _reporting(self) -> list[str]:
        """The modules that turn scores into tables and figures: when one changes, they are made again."""
        return ["evaluation.evaluate", "evaluation.tables", *(f"figures.{kind}" for kind in self._drawn)]

    def _floor_first(self) -> list[Entry]:
        entries = list(self.experiment.methods.values())
        return sorted(entries, key=lambda entry: entry.plugin != "mean_image")

    @cached_property
    def _drawn(self) -> dict[str, list[dict[str, Any]]]:
        """What each kind of figure shows: a file's stem, and the dataset, class, model or methods it is about."""
        several = len(self.experiment.datasets) > 1
        drawn: dict[str, list[dict[str, Any]]] = {}
        for kind, names in self.experiment.figures.items():
            facts = schema.plugins("figure")[kind]
            shows = {"methods": [shown(self.experiment.methods[name]) for name in names]} if facts["shows"] else {}
            drawn[kind] = []
            for name, dataset in self.experiment.datasets.items():
                prefix = f"{kind}-{name}" if several else kind
                by_row = "tables" in facts["reads"]  # else by run: of several groups of anomalies there is one run
                classes = self._rows(dataset) if by_row else self.experiment.held_out[name]
                subjects = [{"stem": f"{prefix}-{held_out}", "held_out": held_out} for held_out in classes]
                if facts["one_per"] == "held_out_and_mean" and self.settings.protocol != "folders":
                    subjects.append({"stem": f"{prefix}-all", "held_out": None})
                if facts["one_per"] == "model":
                    subjects = [{"stem": f"{prefix}-{model}", "model": model} for model in self._generators()]
                drawn[kind] += [{"dataset": name, **subject, **shows} for subject in subjects]
        return {kind: subjects for kind, subjects in drawn.items() if subjects}

    def _rows(self, dataset: Entry) -> list[str]:
        normal = normal_named(dataset)
        anomalous = [name for name in classes_of(dataset) if name not in normal]
        return rows(self.settings.protocol, self.experiment.held_out[dataset.name], anomalous)

    def _generators(self) -> list[str]:
        """The entries of `models` that can draw images."""
        plugins = schema.plugins("model")
        entries = self.experiment.models.values()
        kinds = {"generator", "conditional_generator"}
        return [entry.name for entry in entries if kinds & {*plugins[entry.plugin]["provides"]}]

    def _run(self, dataset: Entry, prepared: Step, held_out: str, seed: int) -> Run:
        settings = self.settings
        task = {"dataset": dataset.plugin, "protocol": settings.protocol, "held_out": held_out}
        place = f"{dataset.plugin}/{settings.protocol}/{held_out}"
        classes = classes_of(dataset)
        split_spec = SplitSpec(
            **task,
            classes=classes,
            normal=normal_classes(settings.protocol, held_out, classes, normal_named(dataset)),
            prepared=prepared.digest,
            **dataset.split.model_dump(),
            source=source_digest("heldout.stages.split"),
        )
        split_path = f"data/splits/{place}/seed{split_spec.split_seed}-{split_spec.digest}.json"
        split = Step(split_spec, split_path, {"images": prepared})
        inputs = {"images": prepared, "split": split}
        models, methods = self.experiment.models.values(), self.experiment.methods.values()
        trainings: dict[str, Step] = {}
        for entry in sorted(models, key=lambda entry: entry.model is not None):  # parents first
            parent = {"parent": trainings[entry.model]} if entry.model else {}
            trainings[entry.name] = self._training(entry, task, place, seed, {**inputs, **parent})
        scorings: dict[str, Step] = {}
        for entry in sorted(methods, key=lambda entry: bool(entry.joins)):  # what others join first
            scorings[entry.name] = self._scoring(entry, task, place, seed, inputs, trainings, scorings)
        trainings = {entry.name: trainings[entry.name] for entry in models}  # in the order of the experiment again
        scorings = {entry.name: scorings[entry.name] for entry in methods}
        return Run(dataset, held_out, seed, prepared, split, trainings, scorings)

    def _training(self, entry: Entry, task: dict[str, str], place: str, seed: int, inputs: dict[str, Step]) -> Step:
        parent = inputs["parent"].spec if "parent" in inputs else None
        is_conditional = schema.plugins("model")[entry.plugin]["conditional"]
        spec = TrainSpec(
            **task,
            model=entry.plugin,
            params=entry.params,
            parent=parent and Parent(digest=parent.digest, model=parent.model, params=parent.params),
            normal_classes=len(inputs["split"].spec.normal) if is_conditional else None,
            split=inputs["split"].digest,
            seed=seed,
            precision=self.settings.precision,
            threads=self.settings.threads,
            source=source_digest(f"heldout.models.{entry.plugin}", ALWAYS),
        )
        return Step(spec, f"results/checkpoints/{place}/seed{seed}/{entry.plugin}-{spec.digest}.safetensors", inputs)

    def _scoring(
        self,
        entry: Entry,
        task: dict[str, str],
        place: str,
        seed: int,
        inputs: dict[str, Step],
        trainings: dict[str, Step],
        scorings: dict[str, Step],
    ) -> Step:
        reads = {"checkpoint": trainings[entry.model]} if entry.model else {}
        if entry.weights:
            reads["weights"] = Step(None, f"data/raw/{entry.weights}/{FETCHED}", {})
        reads |= {f"join{number}": scorings[name] for number, (name, _) in enumerate(entry.joins)}
        spec = ScoreSpec(
            **task,
            method=entry.plugin,
            params=entry.params,
            split=inputs["split"].digest,
            checkpoint=reads["checkpoint"].digest if entry.model else None,
            joins=tuple(Join(digest=scorings[name].digest, column=column) for name, column in entry.joins),
            supervision=entry.supervision,
            weights=schema.plugins("weight")[entry.weights]["files"] if entry.weights else {},
            seed=seed,
            threads=self.settings.threads,
            source=source_digest(f"heldout.methods.{entry.plugin}", ALWAYS),
        )
        path = f"results/scores/{place}/seed{seed}/{entry.plugin}-{spec.digest}.parquet"
        return Step(spec, path, {**inputs, **reads})


def _preparation(dataset: Entry, without_folder: bool) -> Step:
    facts = schema.plugins("dataset")[dataset.plugin]
    options = dict(dataset.params)
    folder = options.pop("folder", None)  # where images lie is no part of their identity; what they are is
    options.pop("normal", None)  # which classes are normal shapes the split, not the images
    if folder is not None:
        if not options["md5"] and not (without_folder and not Path(folder).exists()):
            require(Path(folder), dataset.plugin, ", and without its `md5` the experiment cannot be planned")
            options["md5"] = known_md5_of(Path(folder))
        options["md5"] = (options["md5"] or UNKNOWN_MD5).removesuffix(".dir")
    raw = Step(None, str(Path(folder or f"data/raw/{dataset.plugin}/{FETCHED}")), {})
    spec = PrepareSpec(
        dataset=dataset.plugin,
        options=options,
        files=facts["files"],
        source=source_digest(f"heldout.datasets.{dataset.plugin}", IMAGES),
    )
    return Step(spec, f"data/prepared/{dataset.plugin}-{spec.digest}.npy", {"raw": raw})


def shown(entry: Entry) -> str:
    """Return a method's name in tables and figures; one that is told labels of anomalies says so."""
    return f"{entry.name} ({entry.supervision})" if entry.supervision else entry.name


def labels_of(images: str) -> str:
    """Return the labels' table beside a prepared array."""
    return str(sidecar(images, LABELS))


def _steps_of(run: Run) -> list[Step]:
    return [run.prepared, run.split, *run.trainings.values(), *run.scorings.values()]


def _paths(steps: Any) -> list[str]:
    return list(dict.fromkeys(step.path for step in steps))  # two entries may share a file


def uses_network(spec: ScoreSpec) -> bool:
    """Whether a network takes part in the scoring of this spec."""
    return spec.checkpoint is not None or schema.facts("method", spec.method, spec.params)["network"]


def _has_gpu() -> bool:
    """Whether the driver shows a GPU; found without importing PyTorch, which takes seconds."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    return any(Path("/dev").glob("nvidia[0-9]*"))  # a container may hold any one of a machine's
