"""The input functions, parameters and resources of Snakemake's rules, derived from the plan."""

import os
import shlex
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from heldout.errors import HeldoutError
from heldout.planning import resources, schema
from heldout.planning.experiment import MIRROR_VARIABLE
from heldout.planning.plan import Plan
from heldout.planning.steps import PrepareStep, ScoreStep, Step
from heldout.storage.folders import FETCHED, require
from heldout.storage.specs import ScoreSpec

Paths = str | list[str]


class Wiring:
    """The input functions, parameters and resources of the rules.

    Args:
        plan: the experiment's plan.
        is_forced: returns whether Snakemake must make existing files again; valid once Snakemake builds its graph.
    """

    def __init__(self, plan: Plan, is_forced: Callable[[], bool] = lambda: False) -> None:
        self.plan = plan
        self._is_forced = is_forced
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

    def entries(self, wildcards: Any) -> str:
        """Return the entries of `datasets` that a step is for; several entries may use one dataset."""
        return ", ".join(self._entries[wildcards.digest])

    def spec(self, wildcards: Any) -> str:
        """Return a step's spec as canonical JSON."""
        return self.step(wildcards).spec.canonical

    def input(self, name: str) -> Callable[[Any], Paths]:
        """Return an input function: the path of the step's input `name`, or [] if it has none or does not need it.

        An existing file is valid by the digest in its name and needs no missing input. If Snakemake knew of a missing
        input, it would make both again, and so repeat the training of every pulled checkpoint whose images were not
        pulled. A forced run needs all inputs.
        """

        def path(wildcards: Any) -> Paths:
            step = self.step(wildcards)
            wanted = getattr(step, name)
            return wanted.path if wanted is not None and self._needs_input(step, wanted.is_made) else []

        return path

    def labels(self, wildcards: Any) -> Paths:
        """Return the table of labels that a split reads."""
        images: PrepareStep = self.step(wildcards).images  # type: ignore[attr-defined]  # the rule `split` asks
        return images.labels if self._needs_input(self.step(wildcards), images.is_made) else []

    def joined(self, wildcards: Any) -> list[str]:
        """Return the score files that a combination reads, each once."""
        step = self._scoring(wildcards)
        wanted = [other.path for other in step.joined if self._needs_input(step, other.is_made)]
        return list(dict.fromkeys(wanted))

    def raw(self, wildcards: Any) -> Paths:
        """Return the input of `prepare`; [] if a user's folder is missing, so that a dry run works.

        `require_folders` stops other runs.
        """
        raw = self.input("raw")(wildcards)
        return raw if isinstance(raw, str) and (Path(raw).name == FETCHED or Path(raw).exists()) else []

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

    def sources(self, _: Any, input: Any) -> str:
        """Return the options for a scoring's checkpoint, joined scores and weights; most scorings have one of them."""
        words = ["--checkpoint", input.checkpoint] if input.checkpoint else []
        for path in input.joined:
            words += ["--joined", path]
        words += ["--weights", str(Path(input.weights).parent)] if input.weights else []
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

    @property
    def gpus(self) -> int:
        """The number of GPUs that a training requests."""
        return wanted_gpus(self.plan.settings.device)

    def gpus_to_score(self, wildcards: Any) -> int:
        """Return the number of GPUs that a scoring requests; 0 without a network."""
        return self.gpus if uses_network(self._scoring(wildcards).spec) else 0

    def device_to_score(self, wildcards: Any) -> str:
        """Return the device of a scoring; without a network the CPU, because it would occupy a GPU without using it."""
        return self.plan.settings.device if uses_network(self._scoring(wildcards).spec) else "cpu"

    def mem_mb(self, wildcards: Any, attempt: int) -> int:
        """Return the memory of a step, in MiB."""
        return attempt * self._needs(self.step(wildcards).digest).mem_mb

    def runtime(self, wildcards: Any, attempt: int) -> int:
        """Return the run time of a step, in minutes."""
        return attempt * self._needs(self.step(wildcards).digest).runtime

    def _scoring(self, wildcards: Any) -> ScoreStep:
        step = self.step(wildcards)
        assert isinstance(step, ScoreStep)
        return step

    def _needs_input(self, step: Step, is_input_made: bool) -> bool:
        return is_input_made or self._is_forced() or not step.is_made


def wanted_gpus(device: str) -> int:
    """Return the number of GPUs that a job on a device requests; 0 on the CPU, where a request would never be met."""
    return int(device.startswith("cuda") or (device == "auto" and _has_gpu()))


def uses_network(spec: ScoreSpec) -> bool:
    """Whether the scoring of this spec runs a network."""
    if spec.joins:
        return False
    return spec.checkpoint is not None or schema.facts("method", spec.method, spec.params)["network"]


def _has_gpu() -> bool:
    """Whether the driver shows a GPU, without importing PyTorch, which takes seconds."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    return any(Path("/dev").glob("nvidia[0-9]*"))  # a container may see any one of them, not only the first
