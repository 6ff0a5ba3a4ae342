"""What shapes the numbers of a training and a scoring; `stages/train.py` and `stages/score.py` run it in loops.

Its source is part of every digest, so nothing about progress, timing or files belongs here.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from heldout import registry
from heldout.networks.shape import ImageShape
from heldout.numerics import randomness
from heldout.numerics.pixels import to_unit_range
from heldout.numerics.trimming import image_losses
from heldout.storage.specs import Parent, TrainSpec


def build(spec: TrainSpec, image: ImageShape) -> nn.Module:
    """Return the model of a training's spec with its first weights, on the CPU.

    A model that is trained on another gets that one as `parent`, with first weights too: those of its checkpoint are
    to be loaded, or come with the model's own.
    """
    parents = [_created(spec.parent, spec.seed, replace(image, classes=1))] if spec.parent else []
    return _created(spec, spec.seed, replace(image, classes=spec.normal_classes or 1), *parents)


def _created(trained: TrainSpec | Parent, seed: int, image: ImageShape, *parents: nn.Module) -> nn.Module:
    rng = randomness.first_weights(seed, trained.model)
    return registry.create("model", trained.model, trained.params, image, rng, *parents)


class Training:
    """The updates of a freshly built model, in place; each gives its losses and how many images it drew.

    It can be left between two updates and taken up again, to the bit: `state` and `restore`.

    A model's `start(images)` runs before the first update. Its `finish(images)`, where it has one, runs after the last,
    in eval mode and without gradients: for what scoring needs and only the training images can tell.

    Against contaminated training images a model's `trim` leaves the highest losses out of every batch, and `refit`
    trains it a second time, from the same first weights, without the images that the first training found anomalous.

    Args:
        model: on the device of the training.
        images: the training images, uint8 `(N, C, H, W)`, on the same device.
        spec: of the training.
        classes: for a conditional model, which normal class each image is of, `(N,)` int64.
    """

    def __init__(self, model: nn.Module, images: Tensor, spec: TrainSpec, classes: Tensor | None = None) -> None:
        self.model = model
        self.images, self._classes, self._precision = images, classes, spec.precision
        self._order = randomness.batch_order(spec.seed, spec.model)
        self._rng = randomness.latents(spec.seed, spec.model, images.device)
        self._untrained = copy.deepcopy(model) if model.params.refit else None
        self._kept: Tensor | None = None  # by a refit
        self._is_over = False
        self._begin()

    def __iter__(self) -> "Training":
        return self

    def __next__(self) -> tuple[dict[str, float], int]:
        if self._updates == self.model.params.updates and not self._is_over:
            self._end()
        if self._is_over:
            raise StopIteration
        before = self._drawn
        with randomness.autocast(self._precision, self.images.device):
            losses = self.model.step(self._draw, self._rng)
        self._updates += 1
        return {name: loss.item() for name, loss in losses.items()}, self._drawn - before

    def __len__(self) -> int:
        """All updates, done or not."""
        return self.model.params.updates * (2 if self._untrained else 1)

    def state(self) -> dict[str, Any]:
        """Return all that the next update depends on and the arguments do not tell: tensors, numbers, names."""
        return {
            "updates": self._updates,
            "drawn": self._drawn,
            "kept": self._kept,
            "order": self._order_at_first,
            "rng": self._rng.get_state(),
            "model": self.model.state_dict(),
            "trainers": {name: trainer.state_dict() for name, trainer in _trainers(self.model)},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from another one's `state`, of the same arguments on the same machine.

        Raises:
            KeyError, RuntimeError, ValueError: it is the state of another training.
        """
        self._order.set_state(state["order"])
        if state["kept"] is not None:
            self._kept = state["kept"].to(self.images.device)
            self._begin()
        self._updates, self._drawn = state["updates"], state["drawn"]
        self._draw_batch = self._batches(skip=self._drawn)
        self._rng.set_state(state["rng"])
        self.model.load_state_dict(state["model"])
        trainers = dict(_trainers(self.model))
        for name, content in state["trainers"].items():
            trainers[name].load_state_dict(content)

    def _begin(self) -> None:
        self._order_at_first = self._order.get_state()
        self._updates, self._drawn = 0, 0
        self._draw_batch = self._batches()
        self.model.train()
        self.model.start(self._chosen()[0])

    def _end(self) -> None:
        images, _ = self._chosen()
        if hasattr(self.model, "finish"):
            self.model.eval()
            with torch.no_grad():
                self.model.finish(images)
            self.model.train()
        if self._untrained is None or self._kept is not None:
            self._is_over = True
            return
        losses = image_losses(self.model, to_unit_range(images), self._classes)
        kept = losses.argsort(stable=True)[: len(images) - int(len(images) * self.model.params.refit)]
        self._kept = kept.sort().values
        self.model.__dict__ = self._untrained.__dict__  # in place, since the caller holds the model
        self._begin()

    def _chosen(self) -> tuple[Tensor, Tensor | None]:
        if self._kept is None:
            return self.images, self._classes
        return self.images[self._kept], None if self._classes is None else self._classes[self._kept]

    @property
    def _candidates(self) -> int:
        """Images drawn for a batch."""
        params = self.model.params
        return params.batch + round(params.batch * params.trim / (1 - params.trim))

    def _batches(self, skip: int = 0) -> Callable[[], Any]:
        images, classes = self._chosen()
        return randomness.batches(images, self._candidates, self._order, classes, skip)

    def _draw(self) -> Any:
        self._drawn += self._candidates
        batch = self.model.params.batch
        return self._draw_batch() if self._candidates == batch else _trimmed(self.model, self._draw_batch(), batch)


def _trainers(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Yield what moves in a training beside the weights, by name: optimisers, schedules, averages, discarded parts."""
    parts = set(model.modules())

    def walk(name: str, value: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(value, (list, tuple)):
            for number, item in enumerate(value):
                yield from walk(f"{name}.{number}", item)
        elif hasattr(value, "load_state_dict") and value not in parts:
            yield name, value

    for name, value in vars(model).items():
        if not name.startswith("_"):
            yield from walk(name, value)


def _trimmed(model: nn.Module, drawn: Any, batch: int) -> Any:
    """Return the `batch` candidates of the lowest loss, in the order in which they were drawn."""
    images, *classes = drawn if isinstance(drawn, tuple) else (drawn,)
    kept = image_losses(model, images, *classes).argsort(stable=True)[:batch].sort().values
    chosen = images[kept].contiguous(memory_format=torch.channels_last)
    return (chosen, classes[0][kept]) if classes else chosen


def ready(model: nn.Module) -> nn.Module:
    """Return a trained model as methods read it: batch normalisation in eval mode, weights fixed."""
    return model.eval().requires_grad_(False)


def fit(
    method: Any,
    images: Tensor,
    seed: int,
    holdout: tuple[Tensor, Tensor] | None = None,
    weights: Path | None = None,
) -> Any:
    """Return what a method without a checkpoint fits to the normal images, uint8 `(N, C, H, W)`.

    Args:
        method: a registered method.
        images: the normal training images.
        seed: the run's.
        holdout: calibration images and labelled anomalies, where the method's parameters ask for labels.
        weights: the folder of fetched weights, where they ask for some.
    """
    held = (to_unit_range(holdout[0]), to_unit_range(holdout[1])) if holdout else None
    return method.fit(registry.Known(to_unit_range(images), seed, held, weights))


def score(method: Any, read: Any, images: Tensor, indices: list[int], seed: int) -> dict[str, Tensor]:
    """Return a method's score and components of uint8 images `(N, C, H, W)`, `(N,)` each, on the CPU.

    Args:
        method: a registered method.
        read: the model it reads, or what it fitted.
        images: on the device of the scoring.
        indices: the images' places in the prepared array: an image's draws depend on its own and the run's seed alone.
        seed: the run's.
    """
    keys = randomness.image_keys(seed, indices)
    return {name: values.cpu() for name, values in method.score(read, to_unit_range(images), keys).items()}
