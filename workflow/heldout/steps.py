"""What shapes the numbers of a training and of a scoring; `training.py` and `scoring.py` are the loops around it.

Its source is part of every digest, so nothing about progress, timing or files belongs here.
"""

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from heldout import randomness, registry
from heldout.images import to_unit_range


def build(spec: dict[str, Any], image: registry.ImageShape) -> nn.Module:
    """Return the model of a training's spec with its first weights, on the CPU."""
    rng = randomness.first_weights(spec["seed"], spec["model"])
    return registry.create("model", spec["model"], spec["params"], image, rng)


def train(model: nn.Module, images: Tensor, spec: dict[str, Any]) -> Iterator[tuple[dict[str, float], int]]:
    """Train a freshly built model in place; yield after every step its losses and how many images it drew.

    Args:
        model: on the device of the training.
        images: the normal images, uint8 `(N, C, H, W)`, on the same device.
        spec: `model, seed, precision`.
    """
    batch = model.params.batch
    draw_batch = randomness.batches(images, batch, randomness.batch_order(spec["seed"], spec["model"]))
    rng = randomness.latents(spec["seed"], spec["model"], images.device)
    drawn = 0

    def draw() -> Tensor:
        nonlocal drawn
        drawn += batch
        return draw_batch()

    model.start()
    model.train()
    for _ in range(model.params.steps):
        before = drawn
        with randomness.autocast(spec["precision"], images.device):
            losses = model.step(draw, rng)
        yield {name: loss.item() for name, loss in losses.items()}, drawn - before


def ready(model: nn.Module) -> nn.Module:
    """Return a trained model as methods read it: batch normalisation in eval mode, weights fixed."""
    return model.eval().requires_grad_(False)


def fit(method: Any, images: Tensor, seed: int) -> Any:
    """Return what a method without a checkpoint fits to the normal images, uint8 `(N, C, H, W)`."""
    return method.fit(to_unit_range(images), seed)


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
