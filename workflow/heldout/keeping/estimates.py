"""How long a training or scoring will take, from the timing files of earlier ones.

A training takes as long as the mean of those of the same model, parameters and dataset, whatever the class and seed;
one that differs in `steps` alone, in proportion, its pretraining included. A scoring takes the time per image of the
same method and parameters on the same model, for as many images. What has no match is unknown. It is the time inside
the loops; starting a job adds some seconds.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

from heldout.identity import canonical
from heldout.keeping.inventory import PLACES
from heldout.plan import Step
from heldout.sidecars import SPEC, TIMING


class Estimates:
    """The timings that lie here, by what they are about."""

    def __init__(self) -> None:
        self.devices: set[str] = set()  # on which they ran
        self._trainings: dict[str, list[float]] = {}  # seconds
        self._steps: dict[str, list[float]] = {}  # seconds per step
        self._scorings: dict[str, list[tuple[float, float]]] = {}  # seconds and images
        models = {}
        for recorded, timing in _timings("train"):
            spec = recorded["spec"]
            self.devices.add(timing["device"])
            models[recorded["digest"]] = spec
            self._trainings.setdefault(_training_key(spec), []).append(timing["wall_s"])
            self._steps.setdefault(_step_key(spec), []).append(timing["wall_s"] / timing["steps"])
        for recorded, timing in _timings("score"):
            spec = recorded["spec"]
            self.devices.add(timing["device"])
            key = _scoring_key(spec, models.get(spec["checkpoint"]))
            seconds = (timing["fit_s"] or 0) + timing["ms_per_image"] * timing["images"] / 1000
            self._scorings.setdefault(key, []).append((seconds, timing["images"]))

    def seconds(self, step: Step) -> float | None:
        """Return the estimate for a planned training or scoring, or None where nothing like it has run."""
        spec = step.spec
        if spec["step"] == "train":
            if known := self._trainings.get(_training_key(spec)):
                return fmean(known)
            per_step = self._steps.get(_step_key(spec))
            return fmean(per_step) * spec["params"]["steps"] if per_step else None
        model = step.inputs["checkpoint"].spec if "checkpoint" in step.inputs else None
        known = self._scorings.get(_scoring_key(spec, model))
        if not known:
            return None
        images = _images(step) or fmean(count for _, count in known)
        return images * sum(seconds for seconds, _ in known) / sum(count for _, count in known)


def _timings(step: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield the recorded spec and the timing of each finished training or scoring; a failed one stopped early."""
    for path in sorted(Path(PLACES[step][0]).rglob(f"*.{TIMING}")):
        spec = path.with_name(path.name.replace(TIMING, SPEC))
        try:
            recorded, timing = (json.loads(file.read_text(encoding="utf-8")) for file in (spec, path))
            failed = timing["failed"]
        except (OSError, ValueError, KeyError, TypeError):
            continue  # an estimate does without it
        if not failed:
            yield recorded, timing


def _images(step: Step) -> int | None:
    """The images that a scoring is about, where its split is there or the experiment says so."""
    split = step.inputs["split"]
    try:
        manifest = json.loads(Path(split.path).read_text(encoding="utf-8"))
        return sum(len(manifest[part]) for part in ("calibration", "labelled_anomalies", "test"))
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
