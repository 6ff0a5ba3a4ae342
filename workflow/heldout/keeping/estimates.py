"""How long a training or scoring will take, from the timing files of earlier ones.

A training takes as long as the mean of those of the same model, parameters and dataset, whatever the class and seed;
one that differs in `steps` alone, in proportion, its pretraining included. A scoring takes the time per image of the
same method and parameters on the same model, for as many images, and what fitting took. What has no match is unknown.
It is the time inside the loops; starting a job adds some seconds. Image folders of one plug-in count as one dataset,
though larger images take longer.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from heldout.identity import canonical
from heldout.keeping.inventory import PLACES
from heldout.plan import Step
from heldout.sidecars import SPEC, TIMING
from heldout.tasks import SCORED_PARTS


class Timed(NamedTuple):
    seconds: float
    device: str


class Estimates:
    """The timings that lie here, by what they are about; those of a GPU apart from those of a CPU.

    Args:
        on_gpu: which of the two are asked for.

    Attributes:
        devices: those whose timings were used.
    """

    def __init__(self, on_gpu: bool = False) -> None:
        self.devices: set[str] = set()
        self._trainings: dict[str, list[Timed]] = {}  # seconds
        self._steps: dict[str, list[Timed]] = {}  # seconds per step
        self._scorings: dict[str, list[tuple[Timed, Timed]]] = {}  # seconds to fit, and per image
        models = {}
        for recorded, timing in _timings("train", on_gpu):
            spec, device = recorded["spec"], timing["device"]
            models[recorded["digest"]] = spec
            self._trainings.setdefault(_training_key(spec), []).append(Timed(timing["wall_s"], device))
            per_step = Timed(timing["wall_s"] / timing["steps"], device)
            self._steps.setdefault(_step_key(spec), []).append(per_step)
        for recorded, timing in _timings("score", on_gpu):
            spec, device = recorded["spec"], timing["device"]
            key = _scoring_key(spec, models.get(spec["checkpoint"]))
            each = Timed(timing["ms_per_image"] / 1000, device)
            self._scorings.setdefault(key, []).append((Timed(timing["fit_s"] or 0, device), each))

    def seconds(self, step: Step) -> float | None:
        """Return the estimate for a planned training or scoring, or None where nothing like it has run."""
        spec = step.spec
        if spec["step"] == "train":
            if known := self._trainings.get(_training_key(spec)):
                return self._mean(known)
            per_step = self._steps.get(_step_key(spec))
            return self._mean(per_step) * spec["params"]["steps"] if per_step else None
        model = step.inputs["checkpoint"].spec if "checkpoint" in step.inputs else None
        known, images = self._scorings.get(_scoring_key(spec, model)), _images(step)
        if not known or images is None:
            return None
        return self._mean([fit for fit, _ in known]) + images * self._mean([each for _, each in known])

    def _mean(self, known: list[Timed]) -> float:
        self.devices |= {timed.device for timed in known}
        return fmean(timed.seconds for timed in known)


def _timings(step: str, on_gpu: bool) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield the recorded spec and the timing of each finished training or scoring; a failed one stopped early."""
    for path in sorted(Path(PLACES[step][0]).rglob(f"*.{TIMING}")):
        spec = path.with_name(path.name.replace(TIMING, SPEC))
        try:
            recorded, timing = (json.loads(file.read_text(encoding="utf-8")) for file in (spec, path))
            counts = not timing["failed"] and timing["device"].startswith("cpu") != on_gpu
        except (OSError, ValueError, KeyError, TypeError):
            continue  # an estimate does without it
        if counts:
            yield recorded, timing


def _images(step: Step) -> int | None:
    """The images that a scoring is about, where its split is there or the experiment says so."""
    split = step.inputs["split"]
    try:
        manifest = json.loads(Path(split.path).read_text(encoding="utf-8"))
        return sum(len(manifest[part]) for part in SCORED_PARTS)
    except (OSError, ValueError):
        return split.spec["test_items"]


def _training_key(spec: dict[str, Any]) -> str:
    return canonical([spec[name] for name in ("dataset", "model", "params", "precision", "threads")])


def _step_key(spec: dict[str, Any]) -> str:
    others = {name: value for name, value in spec["params"].items() if name != "steps"}
    return canonical([spec["dataset"], spec["model"], others, spec["precision"], spec["threads"]])


def _scoring_key(spec: dict[str, Any], model: dict[str, Any] | None) -> str:
    reads = [model["model"], model["params"]] if model else None
    return canonical([*(spec[name] for name in ("dataset", "method", "params", "threads")), reads])
