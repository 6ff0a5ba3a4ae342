"""Trials: time a few steps of a training or scoring on noise, if there is no timing of a similar one.

The time of a step does not depend on the content of the images or on the training of the model.
"""

import importlib
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from heldout import registry
from heldout.networks.shape import ImageShape
from heldout.numerics import scoring_steps, training_steps
from heldout.numerics.determinism import reproducible
from heldout.planning import schema
from heldout.planning.resources import image_shape
from heldout.planning.steps import PrepareStep
from heldout.planning.work import of_scoring
from heldout.stages.device import choose_device, describe, synchronise
from heldout.storage.specs import ScoreSpec, TrainSpec

ENOUGH_S = 2.0  # of timed steps
FEW_STEPS = 4  # of a search over z


class Trials:
    """Tries trainings and scorings on one device.

    Args:
        device_name: `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        HeldoutError: PyTorch sees no such GPU.
    """

    def __init__(self, device_name: str) -> None:
        self._device = choose_device(device_name)
        self.device = describe(self._device)

    def seconds_per_step(self, spec: TrainSpec, prepared: PrepareStep) -> float:
        """Return the seconds of one update of a training, without its start-up.

        Args:
            spec: of the training.
            prepared: the step that prepares its images.
        """
        image = image_shape(prepared)
        params = spec.params | {"refit": 0.0}
        print(f"timing a few steps of {spec.model}", file=sys.stderr)
        importlib.import_module("torch._dynamo")  # as an optimiser's first step would
        with reproducible(spec.threads):
            model = training_steps.build(replace(spec, params=params), image).to(self._device)
            images = self._noise(2 * params["batch"], image)
            classes = torch.zeros(len(images), dtype=torch.int64, device=self._device)
            told = classes if spec.normal_classes is not None else None
            updates = training_steps.Training(lambda: model, images, spec, told)
            first = self._timed(lambda: next(updates))
            if first > ENOUGH_S or len(updates) == 1:
                return first
            taken: list[float] = []
            while len(taken) < len(updates) - 1 and sum(taken) < ENOUGH_S:
                taken.append(self._timed(lambda: next(updates)))
            return sum(taken) / len(taken)

    def seconds_per_image(self, spec: ScoreSpec, model_spec: TrainSpec, prepared: PrepareStep) -> float:
        """Return the seconds of scoring one image; a long search is extrapolated from its first steps.

        Args:
            spec: of the scoring, by a method that reads a model.
            model_spec: of that model's training.
            prepared: the step that prepares its images.
        """
        image = image_shape(prepared)
        params = spec.params
        if shortened := schema.plugins("method")[spec.method]["shortened"]:
            params = params | {shortened: min(FEW_STEPS, params[shortened])}
        work, tried = of_scoring(spec), of_scoring(replace(spec, params=params))
        print(f"timing a few images by {spec.method} on {model_spec.model}", file=sys.stderr)
        method = registry.create("method", spec.method, params)
        count = method.params.images_per_block
        with reproducible(spec.threads):
            model = scoring_steps.ready(training_steps.build(model_spec, image)).to(self._device)
            prepared = method.prepare(model)
            images = self._noise(count, image)

            def score() -> None:
                scoring_steps.score(method, prepared, images, list(range(count)), spec.seed)

            score()  # untimed: first calls compile, allocate and load
            return self._timed(score) / count * work.passes / tried.passes

    def _noise(self, count: int, image: ImageShape) -> torch.Tensor:
        shape = (count, image.channels, image.side, image.side)
        return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8).to(
            self._device
        )

    def _timed(self, work: Callable[[], Any]) -> float:
        synchronise(self._device)
        began = time.perf_counter()
        work()
        synchronise(self._device)
        return time.perf_counter() - began
