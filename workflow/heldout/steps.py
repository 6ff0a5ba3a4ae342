"""What shapes the numbers of a training and of a scoring; `training.py` and `scoring.py` are the loops around it.

Its source is part of every digest, so nothing about progress, timing or files belongs here.
"""

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from heldout import randomness, registry
from heldout.images import to_unit_range
from heldout.trimming import image_losses


def build(spec: dict[str, Any], image: registry.ImageShape) -> nn.Module:
    """Return the model of a training's spec with its first weights, on the CPU.

    A model that is trained on another gets that one as `parent`, with first weights too: those of its checkpoint are
    to be loaded, or come with the model's own.
    """
    image = replace(image, classes=spec.get("normal_classes", 1))
    rng = randomness.first_weights(spec["seed"], spec["model"])
    parents = [build({"seed": spec["seed"], **spec["parent"]}, image)] if spec.get("parent") else []
    return registry.create("model", spec["model"], spec["params"], image, rng, *parents)


def train(
    model: nn.Module, images: Tensor, spec: dict[str, Any], classes: Tensor | None = None
) -> Iterator[tuple[dict[str, float], int]]:
    """Train a freshly built model in place; yield after every step its losses and how many images it drew.

    A model's `start(images)` runs before the first step. Its `finish(images)`, where it has one, runs after the last,
    in eval mode and without gradients: for what scoring needs and only the training images can tell.

    Against contaminated training images a model's `trim` leaves the highest losses out of every batch, and `refit`
    trains it a second time, from the same first weights, without the images that the first training found anomalous.

    Args:
        model: on the device of the training.
        images: the training images, uint8 `(N, C, H, W)`, on the same device.
        spec: `model, seed, precision`.
        classes: for a conditional model, which normal class each image is of, `(N,)` int64.
    """
    order = randomness.batch_order(spec["seed"], spec["model"])
    rng = randomness.latents(spec["seed"], spec["model"], images.device)
    untrained = copy.deepcopy(model) if model.params.refit else None
    yield from _train_once(model, images, classes, spec, order, rng)
    if untrained is not None:
        losses = image_losses(model, to_unit_range(images), classes)
        kept = losses.argsort(stable=True)[: len(images) - int(len(images) * model.params.refit)].sort().values
        model.__dict__ = untrained.__dict__  # in place, since the caller holds the model
        told = None if classes is None else classes[kept]
        yield from _train_once(model, images[kept], told, spec, order, rng)


def _train_once(
    model: nn.Module,
    images: Tensor,
    classes: Tensor | None,
    spec: dict[str, Any],
    order: torch.Generator,
    rng: torch.Generator,
) -> Iterator[tuple[dict[str, float], int]]:
    batch = model.params.batch
    candidates = batch + round(batch * model.params.trim / (1 - model.params.trim))
    draw_batch = randomness.batches(images, candidates, order, classes)
    drawn = 0

    def draw() -> Any:
        nonlocal drawn
        drawn += candidates
        return draw_batch() if candidates == batch else _trimmed(model, draw_batch(), batch)

    model.train()
    model.start(images)
    for _ in range(model.params.steps):
        before = drawn
        with randomness.autocast(spec["precision"], images.device):
            losses = model.step(draw, rng)
        yield {name: loss.item() for name, loss in losses.items()}, drawn - before
    if hasattr(model, "finish"):
        model.eval()
        with torch.no_grad():
            model.finish(images)
        model.train()


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
