"""The computations of a training, which `stages/train.py` runs in a loop.

They are part of every checkpoint's digest, so nothing about progress, timing or files belongs here.
"""

from collections.abc import Callable
from dataclasses import replace
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

    A parent model also has its first weights; the caller loads the trained ones.
    """
    parents = [_created(spec.parent, spec.seed, replace(image, classes=1))] if spec.parent else []
    return _created(spec, spec.seed, replace(image, classes=spec.normal_classes or 1), *parents)


def _created(trained: TrainSpec | Parent, seed: int, image: ImageShape, *parents: nn.Module) -> nn.Module:
    rng = randomness.first_weights(seed, trained.model)
    return registry.create("model", trained.model, trained.params, image, rng, *parents)


class Training:
    """An iterator over the updates of a model; each item is the losses and the number of images drawn.

    `state` and `restore` continue an interrupted training to the same bits.

    Against contaminated training images, `trim` drops the images with the highest losses from every batch; `refit`
    trains a second model from the same first weights, without the images that the first one finds most anomalous.

    Args:
        fresh: returns a `models.Model` with its first weights, on the device of the training; a refit calls it again.
        images: the training images, uint8 `(N, C, H, W)`, on the same device.
        spec: of the training.
        classes: for a conditional model, each image's class number, `(N,)` int64.

    Attributes:
        name: the registered model.
        model: the model in training; once the iterator has ended, the trained one.
    """

    model: nn.Module

    def __init__(
        self, fresh: Callable[[], nn.Module], images: Tensor, spec: TrainSpec, classes: Tensor | None = None
    ) -> None:
        self.name, self._fresh = spec.model, fresh
        self.images, self._classes, self._precision = images, classes, spec.precision
        self._order = randomness.batch_order(spec.seed, spec.model)
        self._rng = randomness.latents(spec.seed, spec.model, images.device)
        self._kept: Tensor | None = None  # indices of the images of a refit
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
        return self.model.params.updates * (2 if self.model.params.refit else 1)

    def state(self) -> dict[str, Any]:
        """Return everything that the next update depends on besides the arguments: tensors, numbers and strings."""
        return {
            "updates": self._updates,
            "drawn": self._drawn,
            "kept": self._kept,
            "order": self._order_at_first,
            "rng": self._rng.get_state(),
            "model": self.model.state_dict(),
            "moved": {name: moved.state_dict() for name, moved in self._moved.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from the `state` of a training with the same arguments on the same machine.

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
        for name, moved in self._moved.items():
            moved.load_state_dict(state["moved"][name])

    def _begin(self) -> None:
        self._order_at_first = self._order.get_state()
        self._updates, self._drawn = 0, 0
        self.model = self._fresh()
        self._draw_batch = self._batches()
        self.model.train()
        self._moved = self.model.start(self._chosen()[0])

    def _end(self) -> None:
        images, _ = self._chosen()
        self.model.eval()
        with torch.no_grad():
            self.model.finish(images)
        self.model.train()
        refit = self.model.params.refit
        if not refit or self._kept is not None:
            self._is_over = True
            return
        losses = image_losses(self.model, to_unit_range(images), self._classes)
        kept = losses.argsort(stable=True)[: len(images) - int(len(images) * refit)]
        self._kept = kept.sort().values
        self._begin()

    def _chosen(self) -> tuple[Tensor, Tensor | None]:
        if self._kept is None:
            return self.images, self._classes
        return self.images[self._kept], None if self._classes is None else self._classes[self._kept]

    @property
    def _candidates(self) -> int:
        """Images drawn for a batch, before trimming."""
        params = self.model.params
        return params.batch + round(params.batch * params.trim / (1 - params.trim))

    def _batches(self, skip: int = 0) -> Callable[[], Any]:
        images, classes = self._chosen()
        return randomness.batches(images, self._candidates, self._order, classes, skip)

    def _draw(self) -> Any:
        self._drawn += self._candidates
        batch = self.model.params.batch
        return self._draw_batch() if self._candidates == batch else _trimmed(self.model, self._draw_batch(), batch)


def _trimmed(model: nn.Module, drawn: Any, batch: int) -> Any:
    """Return the `batch` candidates with the lowest losses, in their drawn order."""
    images, *classes = drawn if isinstance(drawn, tuple) else (drawn,)
    kept = image_losses(model, images, *classes).argsort(stable=True)[:batch].sort().values
    chosen = images[kept].contiguous(memory_format=torch.channels_last)
    return (chosen, classes[0][kept]) if classes else chosen
