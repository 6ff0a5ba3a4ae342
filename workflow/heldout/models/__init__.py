"""Trained models, one file each, and the contract between a model, its training and the methods that read it.

To add a model, copy `_template.py`, which works once its name is replaced.

A training (`numerics/training_steps.py`) builds the model with its first weights on the CPU, moves it to its device,
and calls, in this order:

| call | when | mode |
| --- | --- | --- |
| `start(images)` | once, before the first update | training |
| `step(draw, rng)` | `params.updates` times | training |
| `finish(images)` | once, after the last update | eval, without gradients |

`image_losses` is called, in eval mode and without gradients, only with the parameters `trim` and `refit`; with `refit`,
a second model is built with the same first weights and trained in the same way.

Methods read the trained model by the parts that its registration names in `provides`:

| part | meaning |
| --- | --- |
| `generator` | z `(N, latent)` -> images `(N, C, H, W)` in [-1, 1]; `generator.latent`: dimensions of z |
| `discriminator` | images -> `(N,)`, higher = more like the training images; `discriminator.features` -> `(N, ...)` |
| `encoder` | images -> z `(N, latent)`, in the generator's latent space |
| `decoder` | z `(N, latent)` -> images in [-1, 1], for codes of the model's own encoder; z has no known prior |
| `second_encoder` | images -> z `(N, latent)`, GANomaly's encoder of reconstructions |
| `latent_range` | `(3, 2)`: least and greatest distance of z and z' among the training images, each of three kinds |
| `joint_discriminator` | images and z -> `(N,)`, higher = more like an image with its code; it has `features` too |
| `conditional_generator` | z `(N, latent)` and class numbers `(N,)` -> images; `latent`, and `classes`: their number |
| `autoencoder` | images -> images `(N, C, H, W)` in [-1, 1] |
| `posterior` | images -> mean and log variance of q(z given x), `(N, latent)` each |
| `log_likelihood` | images and z -> log p(x given z) in nats, `(N,)` |
| `embedding` | images -> `(N, dimensions)`; with it a `centre`, `(dimensions,)` |

Methods read parts in eval mode, without gradients of weights, and leave them unchanged. Images are float32 in [-1, 1].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from pydantic import Field

from heldout import registry

if TYPE_CHECKING:  # planning lists this package and must not import PyTorch
    from collections.abc import Callable

    from torch import Generator, Tensor


class ModelParams(registry.Params):
    """The parameters of every model. A subclass adds its own, and repeats one of these to change its default."""

    steps: int = Field(10_000, ge=1, description="updates of the model; of a GAN's generator")
    batch: int = Field(64, ge=2, description="images in one update")
    trim: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="fraction of the drawn images that a batch drops, those with the highest loss",
    )
    refit: float = Field(
        0.0,
        ge=0,
        le=0.5,
        description="fraction of training images with the highest loss, dropped before retraining from the same "
        "initial weights",
    )

    @property
    def updates(self) -> int:
        """Calls of `step` in one training: `steps`, unless a subclass and `updates` in its registration differ."""
        return self.steps


class Stateful(Protocol):
    """An optimiser, a schedule, or another module."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...


class Model(Protocol):
    """The contract of a model. It is also a `torch.nn.Module`: `class MyModel(nn.Module, Model)`.

    It is built as `MyModel(params, image, rng)`: its parameters, the `ImageShape` of its images, and the source of its
    first weights, a generator on the CPU. A model that is trained on another one (`reads`) gets that one as a fourth
    argument, keeps it as `self.parent` and leaves it unchanged.

    Every random draw comes from a generator that the model is given: the same spec gives the same bits.
    """

    params: ModelParams

    def start(self, images: Tensor) -> dict[str, Stateful]:
        """Set up the optimisers; the weights are now on the device on which they are trained.

        Args:
            images: the normal training images, uint8 `(N, C, H, W)`, on that device.

        Returns:
            By name, every object besides the model whose state the updates change. An interrupted training is restored
            from these states and the model's.
        """
        ...

    def step(self, draw: Callable[[], Any], rng: Generator) -> dict[str, Tensor]:
        """Make one update.

        Args:
            draw: returns the next `(batch, C, H, W)` normal images, float32 in [-1, 1]; for a conditional model,
                these images and their class numbers, `(batch,)` int64.
            rng: source of all random draws, on the images' device.

        Returns:
            The losses of this update by name, detached scalars; a column each of the training's history. A loss that
            is not finite ends the training as failed.
        """
        ...

    def image_losses(self, images: Tensor, *classes: Tensor) -> Tensor:
        """Return each image's loss, `(batch,)` float32, higher = more anomalous; its neighbours do not change it.

        Args:
            images: `(batch, C, H, W)` float32 in [-1, 1].
            classes: for a conditional model alone, their class numbers, `(batch,)` int64.
        """
        ...

    def finish(self, images: Tensor) -> None:
        """Compute weights and buffers that scoring needs from the training images. Default: do nothing.

        Args:
            images: as for `start`. Methods that read a model do not get the training images.
        """
