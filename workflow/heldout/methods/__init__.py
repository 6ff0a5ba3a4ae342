"""Anomaly scores, one file each. `Method` is the contract; `_template.py` is a method to copy.

Calls for a score file, for a method that reads parts of a trained model:

    method = X(params)
    prepared = method.prepare(model)               # once
    method.score(prepared, images, keys)           # for every block of images

For a method that reads the training images, the second line is `prepared = method.fit(known)`. The registration
(`registry.method`) declares which of the two a method is, and all other properties.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol

from pydantic import Field

from heldout.registry import Params

if TYPE_CHECKING:  # parameters are described without PyTorch
    from torch import Tensor, nn


class MethodParams(Params):
    """Parameters of every method.

    Attributes:
        rows: the rows of a block. `images`: `score` gets exactly `block` images. `starts`: the rows are the `starts`
            starting points of each image, and the search forms the blocks; `score` gets any number of images up to
            `block`, and fewer if memory is short.
    """

    rows: ClassVar[Literal["images", "starts"]] = "images"
    block: int = Field(64, ge=1, description="images in one forward; part of the score's identity")

    @property
    def images_per_block(self) -> int:
        """The number of images that fill one block; a search has several rows per image."""
        return self.block


@dataclass(frozen=True)
class Known:
    """The input of `fit`. It contains no test images and no test labels.

    Attributes:
        images: the normal training images, `(N, C, H, W)` float32 in [-1, 1].
        seed: the run's seed, for all random draws of `fit`.
        holdout: calibration images (normal) and labelled anomalies, in the format of `images`; None unless the
            registration declares that the parameters need labels (`supervision`).
        weights: folder of the published weights that the parameters need, if any.
    """

    images: "Tensor"
    seed: int
    holdout: "tuple[Tensor, Tensor] | None" = None
    weights: Path | None = None


class Backend(NamedTuple):
    """The backend of a computation; `why` is logged if it is not empty."""

    name: str
    why: str = ""


class Method(Protocol):
    """A method. It has no state but its parameters: the same arguments give the same bits.

    Everything runs in eval mode, without gradients of the weights, with deterministic algorithms. The result of an
    image must not depend on the others of its block: no batch statistics, and random draws only from its key.
    """

    params: MethodParams

    def fit(self, known: Known) -> Any:
        """Fit to normal images. Only methods registered with `reads=("images",)` have it.

        Returns:
            The first argument of `score`, on the device of the images.

        Raises:
            HeldoutError: a parameter does not suit these images; the run stops with this line.
            NumericalFailure: fitting is impossible with these images; the score file records the reason.
        """
        raise NotImplementedError

    def prepare(self, model: "nn.Module") -> Any:
        """Do once what `score` would repeat for every block, such as converting a network. Default: return the model.

        Args:
            model: has the parts in `reads` of the registration; `models/__init__.py` describes them. Neither this
                method nor `score` may change its weights or statistics.

        Returns:
            The first argument of `score`.
        """
        return model

    def backends(self, prepared: Any) -> dict[str, Backend]:
        """Return the backend chosen by `prepare` for each computation that has several. Default: none.

        The names are recorded beside the scores; an interrupted scoring resumes only with the same backends.
        """
        return {}

    def score(self, prepared: Any, images: "Tensor", keys: "Tensor") -> "dict[str, Tensor]":
        """Score one block of images.

        Args:
            prepared: the return value of `fit` or `prepare`; not modified.
            images: `(N, C, H, W)` float32 in [-1, 1]. N is `params.block`: copies of the last image fill the last
                block, and their results are dropped. See `MethodParams.rows` for searches.
            keys: `(N,)` int64 on the CPU, one random seed per image; ignored by methods without random draws.

        Returns:
            `score` and the registered components in their order, each `(N,)` floating point; a higher score is more
            anomalous. A value that is not finite makes the scoring fail; the reason names the image.
        """
        ...

    def rebuild(self, prepared: Any, images: "Tensor", keys: "Tensor") -> "Tensor":
        """Return the method's reconstruction of each image, for figures; only if registered with `offers`.

        Arguments as for `score`. Returns `(N, C, H, W)` in [-1, 1].
        """
        raise NotImplementedError

    def path(self, prepared: Any, images: "Tensor", keys: "Tensor") -> "Tensor":
        """Return z of each search before the first and after every step, for figures; only if in `offers`.

        Arguments as for `score`. Returns `(N, starts, steps + 1, latent)`.
        """
        raise NotImplementedError
