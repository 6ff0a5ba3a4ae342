"""The input functions, parameters and resources of Snakemake's rules, derived from the plan."""

import os
import shlex
from collections.abc import Callable, Mapping
from functools import cache, cached_property, partial
from inspect import signature
from pathlib import Path
from typing import Any

from heldout.errors import HeldoutError
from heldout.planning import grouping, resources, schema
from heldout.planning.experiment import MIRROR_VARIABLE
from heldout.planning.plan import Plan
from heldout.planning.steps import PrepareStep, ScoreStep, SplitStep, Step, TrainStep
from heldout.planning.work import uses_network
from heldout.storage import class_folders
from heldout.storage.folders import FETCHED, require

Paths = str | list[str]


def stated(function: Callable[..., Any], *given: Any) -> Callable[..., Any]:
    """Return a function with its first arguments given and its signature stated.

    Snakemake asks for the signature of a rule's function three times per job. `inspect` takes 18 us to derive that of
    a method, and 1 us to read a stated one.
    """
    asked = partial(function, *given)
    asked.__signature__ = signature(asked)  # type: ignore[attr-defined]  # what `inspect` reads first
    return asked


def for_rules(method: Callable[..., Any]) -> Any:
    """Return a property: the method bound to its object, as `stated` gives it."""
    return property(lambda owner: stated(method, owner))


class Wiring:
    """The input functions, parameters and resources of the rules.

    Args:
        plan: the experiment's plan.
        is_forced: returns whether Snakemake must make existing files again; valid once Snakemake builds its graph.
        grouped: returns the largest number of trainings, and of scorings, in a job of a cluster; missing: one. As late.
    """

    def __init__(
        self,
        plan: Plan,
        is_forced: Callable[[], bool] = lambda: False,
        grouped: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self.plan = plan
        self._is_forced = is_forced
        self._grouped = grouped
        self._needs = cache(lambda digest: resources.of_step(self.plan.steps[digest]))
        self._entries: dict[str, dict[str, None]] = {}
        for run in plan.runs:
            for step in run.steps:
                self._entries.setdefault(step.digest, {})[run.dataset.name] = None
        self.mirror = plan.settings.mirror or os.environ.get(MIRROR_VARIABLE, "")

    def step(self, wildcards: Any) -> Step:
        """Return the step whose digest is in a file's name.

        Raises:
            HeldoutError: the experiment has no file of this name.
        """
        if wildcards.digest not in self.plan.steps:
            raise HeldoutError(f"{self.plan.settings.experiment} has no file with the digest {wildcards.digest}")
        return self.plan.steps[wildcards.digest]

    @for_rules
    def entries(self, wildcards: Any) -> str:
        """Return the entries of `datasets` that a step is for; several entries may use one dataset."""
        return ", ".join(self._entries[wildcards.digest])

    @for_rules
    def spec(self, wildcards: Any) -> str:
        """Return a step's spec as canonical JSON."""
        return self.step(wildcards).spec.canonical

    def inputs(self, *names: str) -> Callable[[Any], dict[str, Paths]]:
        """Return an input function for `unpack`: the paths of a step's inputs by name, [] where it needs none.

        An existing file is valid by the digest in its name: the age of an input does not count, and a missing one is
        not needed. If Snakemake knew of a missing input, it would make both again, and so repeat the training of every
        pulled checkpoint whose images were not pulled. A forced run needs all inputs.
        """
        return stated(self._inputs, names)

    @for_rules
    def labels(self, wildcards: Any) -> Paths:
        """Return the table of labels that a split reads."""
        step = self.step(wildcards)
        assert isinstance(step, SplitStep)
        return step.images.labels if self._is_to_be_made(step) or step.images.is_made else []

    @for_rules
    def prepared_spec(self, wildcards: Any) -> Paths:
        """Return the hashes of the prepared array and its labels, which a split reads."""
        step = self.step(wildcards)
        assert isinstance(step, SplitStep)
        return step.images.spec_file if self._is_to_be_made(step) or step.images.is_made else []

    @for_rules
    def raw(self, wildcards: Any) -> Paths:
        """Return the input of `prepare`; [] if a user's folder is missing, so that a dry run works.

        `require_folders` stops other runs.
        """
        step = self.step(wildcards)
        assert isinstance(step, PrepareStep)
        is_needed = step.raw.is_made or (Path(step.raw.path).name == FETCHED and self._is_to_be_made(step))
        return step.raw.path if is_needed else []

    @for_rules
    def raw_folder(self, wildcards: Any) -> str:
        """Return the folder that `prepare` reads: the fetched one, or the user's own."""
        step = self.step(wildcards)
        assert isinstance(step, PrepareStep)
        raw = Path(step.raw.path)
        return str(raw.parent if raw.name == FETCHED else raw)

    def require_folders(self) -> None:
        """Raise NotThere if a required folder of the user is missing; Snakemake would name the rule, not the cause."""
        for prepared in self.plan.preparations:
            folder = Path(prepared.raw.path)
            if folder.name != FETCHED and not prepared.is_made:
                require(folder, prepared.spec.dataset)

    def check_layouts(self) -> None:
        """Raise HeldoutError if a user's folder is there, is to be read, and has images that are in no class folder."""
        for prepared in self.plan.preparations:
            folder, spec = Path(prepared.raw.path), prepared.spec
            has_classes = schema.plugins("dataset")[spec.dataset]["counts"] is None
            if has_classes and folder.is_dir() and self._is_to_be_made(prepared):
                class_folders.listed(folder, spec.options["classes"])

    @for_rules
    def to_train(self, wildcards: Any, input: Any) -> str:
        """Return the options of a training, beside its images, split and checkpoint."""
        parent = ["--parent", input.parent] if input.parent else []
        return shlex.join([*self._options(self.step(wildcards), self.plan.settings.device), *parent])

    @for_rules
    def to_score(self, wildcards: Any, input: Any) -> str:
        """Return the options of a scoring, beside its images, split and scores.

        Without a network it runs on the CPU, because it would occupy a GPU without using it.
        """
        step, settings = self._scoring(wildcards), self.plan.settings
        words = self._options(step, settings.device if uses_network(step.spec) else "cpu")
        words += ["--checkpoint", input.checkpoint] if input.checkpoint else []
        for path in input.joined:
            words += ["--joined", path]
        words += ["--weights", str(Path(input.weights).parent)] if input.weights else []
        words += ["--memory", str(settings.memory)] if settings.memory else []
        return shlex.join(words)

    def reads(self, kind: str, what: str) -> list[str]:
        """Return the files of one group that a kind of figure reads; [] if it reads none of that group.

        Args:
            kind: a registered figure.
            what: `tables`, `checkpoints`, `scores` or `labels`; `checkpoints` and `labels` include images and splits.
        """
        plan = self.plan
        images = [*plan.images, *plan.splits]
        files = {
            "tables": plan.evaluated,
            "checkpoints": [*plan.checkpoints, *images],
            "scores": plan.scores,
            "labels": [*plan.labels, *images],
        }
        return files[what] if what in schema.plugins("figure")[kind]["reads"] else []

    @cached_property
    def gpus(self) -> int:
        """The number of GPUs that a training requests."""
        return wanted_gpus(self.plan.settings.device)

    @property
    def gpus_to_score(self) -> int | Callable[[Any], int]:
        """The number of GPUs that a scoring requests; 0 without a network."""
        return stated(lambda wildcards: int(uses_network(self._scoring(wildcards).spec))) if self.gpus else 0

    @for_rules
    def mem_mb(self, wildcards: Any, attempt: int) -> int:
        """Return the memory of a step, in MiB."""
        return attempt * self._needs(self.step(wildcards).digest).mem_mb

    @for_rules
    def runtime(self, wildcards: Any, attempt: int) -> int:
        """Return the minutes that a step adds to the run time of its job; only one step of a job counts the start."""
        step = self.step(wildcards)
        if isinstance(step, TrainStep | ScoreStep):
            return attempt * self._share(step).runtime
        needs = self._needs(step.digest)
        follows = isinstance(step, SplitStep) and self._is_to_be_made(step.images)
        return attempt * (grouping.work(needs) if follows else needs.runtime)

    def job(self, wildcards: Any) -> str:
        """Return the name of the job that a training or scoring shares with others on a cluster."""
        step = self.step(wildcards)
        assert isinstance(step, TrainStep | ScoreStep)
        return self._share(step).job

    def _share(self, step: TrainStep | ScoreStep) -> grouping.Share:
        # A finished step that Snakemake repeats for a reason of its own has a job of its own.
        alone = grouping.Share(f"{grouping.KINDS[step.spec.step]}-{step.digest}", self._needs(step.digest).runtime)
        return self._shares.get(step.digest, alone)

    @cached_property
    def _shares(self) -> dict[str, grouping.Share]:
        steps = filter(self._is_to_be_made, self.plan.trained_and_scored)
        return grouping.shares(steps, self._grouped())

    def _inputs(self, names: tuple[str, ...], wildcards: Any) -> dict[str, Paths]:
        from snakemake.io import ancient  # here, where Snakemake has imported it already

        step, paths = self.step(wildcards), {}
        needs_all = self._is_to_be_made(step)
        for name in names:
            read = getattr(step, name)
            files = read if isinstance(read, tuple) else (read,) if read else ()
            needed = list(dict.fromkeys(file.path for file in files if needs_all or file.is_made))
            paths[name] = ancient(needed[0] if needed and not isinstance(read, tuple) else needed)
        return paths

    def _options(self, step: Step, device: str) -> list[str]:
        settings = self.plan.settings
        limits = ["--jobs-per-gpu", str(settings.jobs_per_gpu), "--save-every", str(settings.save_every)]
        return ["--spec", step.spec.canonical, "--device", device, *limits]

    def _scoring(self, wildcards: Any) -> ScoreStep:
        step = self.step(wildcards)
        assert isinstance(step, ScoreStep)
        return step

    def _is_to_be_made(self, step: Step) -> bool:
        return self._is_forced() or not step.is_made


def wanted_gpus(device: str) -> int:
    """Return the number of GPUs that a job on a device requests; 0 on the CPU, where a request would never be met."""
    return int(device.startswith("cuda") or (device == "auto" and _has_gpu()))


def _has_gpu() -> bool:
    """Whether the driver shows a GPU, without importing PyTorch, which takes seconds."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    return any(Path("/dev").glob("nvidia[0-9]*"))  # a container may see any one of them, not only the first
