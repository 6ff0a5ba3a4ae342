"""Anomaly scores, one file each. `Method` is the contract; `_template.py` is a method to copy.

A score file is made in this order. A method that reads parts of a trained model:

    method = X(params)
    prepared = method.prepare(model)               # once
    method.score(prepared, images, keys)           # for every block of images

For a method that reads the training images the second line is `prepared = method.fit(known)`. `registry.method`
declares which of the two a method is, and everything else that others must know about it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol

from pydantic import Field

from heldout.registry import Params

if TYPE_CHECKING:  # parameters are described without PyTorch
    from torch import Tensor, nn


class MethodParams(Params):
    """The parameters that every method has.

    Attributes:
        rows: what a block consists of. `images`: `score` is given exactly `block` images at a time. `starts`: the rows
            are the `starts` starting points of each image of a search, which forms the blocks itself; `score` is given
            any number of images, at most `block`, and fewer where memory is short.
    """

    rows: ClassVar[Literal["images", "starts"]] = "images"
    block: int = Field(64, ge=1, description="images in one forward; part of the score's identity")

    @property
    def images_per_block(self) -> int:
        """The images whose rows fill one block."""
        return self.block


@dataclass(frozen=True)
class Known:
    """What a method may be fitted to: never a test image or its label.

    Attributes:
        images: the normal training images, `(N, C, H, W)` float32 in [-1, 1].
        seed: the run's seed, for everything that `fit` draws.
        holdout: calibration images (normal) and labelled anomalies, both in the form of `images`; None unless the
            registration says that the parameters ask for labels (`supervision`).
        weights: the folder of the published weights that the parameters ask for; None if they ask for none.
    """

    images: "Tensor"
    seed: int
    holdout: "tuple[Tensor, Tensor] | None" = None
    weights: Path | None = None


class Backend(NamedTuple):
    """What a computation runs on, and why, where that is worth a line in the log."""

    name: str
    why: str = ""


class Method(Protocol):
    """A method. It keeps nothing but its parameters, so every call with the same arguments gives the same bits.

    Everything runs in eval mode, without gradients of the weights, and under deterministic algorithms. An image's
    result must not depend on the other images of its block: no batch statistics, no draws but those from its key.
    """

    params: MethodParams

    def fit(self, known: Known) -> Any:
        """Learn from normal images. Only methods registered with `reads=("images",)` have it.

        Returns:
            What `score` needs, on the device of the images.

        Raises:
            NumericalFailure: nothing can be learnt from these images; the score file records the reason.
        """
        raise NotImplementedError

    def prepare(self, model: "nn.Module") -> Any:
        """Do once what `score` would otherwise repeat for every block, such as converting a network. Default: nothing.

        Args:
            model: has the parts that the method is registered to read; `models/__init__.py` describes them. Neither
                this nor `score` may change its weights or statistics.

        Returns:
            What `score` is given.
        """
        return model

    def backends(self, prepared: Any) -> dict[str, Backend]:
        """Return the backend that `prepare` chose for each computation that has several. Default: none has.

        The names are recorded beside the scores, and a half-finished scoring is resumed only with the same ones.
        """
        return {}

    def score(self, prepared: Any, images: "Tensor", keys: "Tensor") -> "dict[str, Tensor]":
        """Score one block of images.

        Args:
            prepared: what `fit` or `prepare` returned; comes back unchanged.
            images: `(N, C, H, W)` float32 in [-1, 1]. N is `params.block`: the last block is filled up with copies of
                its last image, whose results are dropped. See `MethodParams.rows` for searches.
            keys: `(N,)` int64 on the CPU, one random seed for each image. Methods that draw nothing ignore it.

        Returns:
            `score` and the registered components in their order, each `(N,)`, floating point; a higher score is more
            anomalous. A value that is not finite makes the scoring fail with that image's number as the reason.
        """
        ...

    def rebuild(self, prepared: Any, images: "Tensor", keys: "Tensor") -> "Tensor":
        """Return the method's reconstruction of each image, for figures; only if registered with `offers`.

        Arguments as for `score`. Returns `(N, C, H, W)` in [-1, 1].
        """
        raise NotImplementedError

    def path(self, prepared: Any, images: "Tensor", keys: "Tensor") -> "Tensor":
        """Return where each search was before its first step and after each, for figures; only if in `offers`.

        Arguments as for `score`. Returns `(N, starts, steps + 1, latent)`.
        """
        raise NotImplementedError
