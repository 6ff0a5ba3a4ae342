"""Estimates the time of trainings and scorings from the timing files of earlier ones or, on request, by a trial.

The estimate of a training is the mean over trainings with the same model, parameters and dataset, for any class and
seed; if only `steps` differs, it is scaled. A scoring takes the fitting time plus the time per image of the
same method, parameters and model, times the number of images. Without a match, a trial is run on request. Methods that
are fitted and combinations have no trial, since most take seconds; their time stays unknown. Estimates cover the loops;
the start of a job adds some seconds. All image folders of one plug-in count as one dataset, although larger images take
longer.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from heldout.errors import HeldoutError, NotThere
from heldout.planning.resources import images_of_parts
from heldout.planning.steps import PrepareStep, ScoreStep, TrainStep
from heldout.planning.work import of_training, uses_network
from heldout.project.inventory import PLACES
from heldout.storage.hashing import canonical
from heldout.storage.manifests import read_manifest
from heldout.storage.sidecars import TIMING, read_spec
from heldout.storage.specs import ScoreSpec, TrainSpec
from heldout.storage.timings import ScoreTiming, TrainTiming

if TYPE_CHECKING:  # it imports PyTorch, which takes seconds
    from heldout.project.trials import Trials

S = TypeVar("S", TrainSpec, ScoreSpec)
T = TypeVar("T", TrainTiming, ScoreTiming)


class Timed(NamedTuple):
    seconds: float
    device: str


class Estimates:
    """Estimates from the timing files in this folder, either of GPUs or of CPUs.

    Args:
        on_gpu: whether to use the timings of GPUs.
        device_name: the device for trials, `auto`, `cpu`, `cuda` or `cuda:N`; None: no trials.

    Attributes:
        devices: the devices of the timings that were used.
        tried: the device of the trials, if there were any.
    """

    def __init__(self, on_gpu: bool, device_name: str | None = None) -> None:
        self.devices: set[str] = set()
        self.tried: str | None = None
        self._device_name = device_name
        self._trials: Trials | None = None
        self._found: dict[str, float] = {}  # by trials: seconds per step, and per image
        self._trainings: dict[str, list[Timed]] = {}  # seconds
        self._steps: dict[str, list[Timed]] = {}  # seconds per step
        self._scorings: dict[str, list[tuple[Timed, Timed]]] = {}  # seconds to fit, and per image
        models = {}
        for spec, timing in _timings(TrainSpec, TrainTiming, on_gpu):
            device = timing.device
            models[spec.digest] = spec
            self._trainings.setdefault(_training_key(spec), []).append(Timed(timing.wall_s, device))
            per_step = Timed(timing.wall_s / of_training(spec).updates, device)
            self._steps.setdefault(_step_key(spec), []).append(per_step)
        for spec, timing in _timings(ScoreSpec, ScoreTiming, on_gpu):
            device = timing.device
            key = _scoring_key(spec, models.get(spec.checkpoint))
            each = Timed((timing.ms_per_image or 0) / 1000, device)
            self._scorings.setdefault(key, []).append((Timed(timing.fit_s or 0, device), each))

    def seconds(self, step: TrainStep | ScoreStep) -> float | None:
        """Return the estimated seconds of a planned training or scoring; None if unknown."""
        return self._training(step) if isinstance(step, TrainStep) else self._scoring(step)

    def _training(self, step: TrainStep) -> float | None:
        spec = step.spec
        if known := self._trainings.get(_training_key(spec)):
            return self._mean(known)
        if per_step := self._steps.get(_step_key(spec)):
            return self._mean(per_step) * of_training(spec).updates
        found = self._try(_step_key(spec), step.images, lambda trials, images: trials.seconds_per_step(spec, images))
        return None if found is None else found * of_training(spec).updates

    def _scoring(self, step: ScoreStep) -> float | None:
        spec, images = step.spec, images_scored(step)
        model = step.checkpoint.spec if step.checkpoint else None
        known = self._scorings.get(_scoring_key(spec, model))
        if images is None:
            return None
        if known:
            return self._mean([fit for fit, _ in known]) + images * self._mean([each for _, each in known])
        if model is None:
            return None
        key = _scoring_key(spec, model)
        found = self._try(key, step.images, lambda trials, images: trials.seconds_per_image(spec, model, images))
        return None if found is None else found * images

    def _try(self, key: str, images: PrepareStep, work: Callable[["Trials", PrepareStep], float]) -> float | None:
        """Return the result of a trial, which runs once; None without trials or without their device."""
        if self._device_name is None:
            return None
        if key not in self._found:
            from heldout.project.trials import Trials

            try:
                self._trials = self._trials or Trials(self._device_name)
            except HeldoutError as error:
                print(f"there is no trial: {error}", file=sys.stderr)
                self._device_name = None
                return None
            self._found[key] = work(self._trials, images)
            self.tried = self._trials.device
        return self._found[key]

    def _mean(self, known: list[Timed]) -> float:
        self.devices |= {timed.device for timed in known}
        return fmean(timed.seconds for timed in known)


def _timings(kind: type[S], timed: type[T], on_gpu: bool) -> Iterator[tuple[S, T]]:
    """Yield the spec and timing of each finished training or scoring, without failed ones, which stopped early."""
    folder, ending = PLACES[kind.step]
    for path in sorted(Path(folder).rglob(f"*.{TIMING}")):
        own = path.with_name(path.name.removesuffix(f".{TIMING}") + ending)
        try:
            spec, timing = kind.of(read_spec(own).spec), timed.beside(own)
        except NotThere:
            continue
        except HeldoutError as error:
            print(f"the estimate uses the other timings: {error}", file=sys.stderr)
            continue
        by_gpu = on_gpu and (isinstance(spec, TrainSpec) or uses_network(spec))
        if not timing.failed and timing.device.startswith("cpu") != by_gpu:
            yield spec, timing


def images_scored(step: ScoreStep) -> int | None:
    """Return the number of scored images from the split manifest or, if it is missing, an estimate.

    None if the size of the dataset is unknown. Raises HeldoutError if the manifest is damaged.
    """
    split = step.split
    if Path(split.path).is_file():
        return len(read_manifest(Path(split.path), split.digest).scored)
    parts = images_of_parts(split)
    return parts[1] if parts else split.spec.test_items


def _training_key(spec: TrainSpec) -> str:
    return canonical([spec.dataset, spec.model, spec.params, spec.precision, spec.threads])


def _step_key(spec: TrainSpec) -> str:
    others = {name: value for name, value in spec.params.items() if name != "steps"}
    return canonical([spec.dataset, spec.model, others, spec.precision, spec.threads])


def _scoring_key(spec: ScoreSpec, model: TrainSpec | None) -> str:
    reads = [model.model, model.params] if model else None
    return canonical([spec.dataset, spec.method, spec.params, spec.threads, reads])
