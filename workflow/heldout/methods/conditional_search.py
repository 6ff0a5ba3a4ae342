"""Latent search with a conditional GAN: the error of the normal class that reconstructs the image best.

    score = min_y mean_j ||x - G(z_j, y)||^2

Each normal class y has an ADGAN search from the same `starts` points; by default it updates z alone.

Source: ours; the survey (section 2.2) presents conditional GANs without a score. The search is that of Deecke et al.,
ECML-PKDD 2018.
Deviations: none.
"""

from collections.abc import Iterator

import torch
from pydantic import Field
from torch import Tensor, nn

from heldout import registry
from heldout.methods import Backend, Method
from heldout.methods._search import SearchParams, backends, settings
from heldout.search.latent import Found, LatentSearch, squared_error


class Params(SearchParams):
    steps: int = Field(20, ge=0, description="Adam steps from each starting point")
    theta_lr: float = Field(0, ge=0, description="Adam's step size on the weights; 0 searches z alone")
    block: int = Field(64, ge=1, description="starting points in one forward; 8 is better on a CPU with theta_lr > 0")


class OfOneClass(nn.Module):
    """A conditional generator restricted to one class, with the interface of a `generator`."""

    def __init__(self, conditional_generator: nn.Module, number: int) -> None:
        super().__init__()
        self.inner, self.number, self.latent = conditional_generator, number, conditional_generator.latent

    def forward(self, z: Tensor) -> Tensor:
        return self.inner(z, torch.full((len(z),), self.number, device=z.device))


@registry.method(
    "conditional_search",
    paper="ours",
    reads=("conditional_generator",),
    cost="normal classes x starts x steps forwards and backwards of the generator",
    cost_class="search",
    family="search",
    default_model="cgan",
    offers=("rebuild",),
    small={"starts": 3, "steps": 2, "block": 4},
    passes="1 + normal_classes * starts * steps * (2 if update == 'in_turn' else 1)",
    moves_weights="theta_lr > 0",
    shortened="steps",
)
class ConditionalSearch(Method):
    def __init__(self, params: Params) -> None:
        self.params = params

    def prepare(self, model: nn.Module) -> list[LatentSearch]:
        """Return one search for each normal class."""
        generator = model.conditional_generator
        return [
            LatentSearch(OfOneClass(generator, number), squared_error, settings(self.params))
            for number in range(generator.classes)
        ]

    def backends(self, searches: list[LatentSearch]) -> dict[str, Backend]:
        return backends(searches[0])

    def score(self, searches: list[LatentSearch], images: Tensor, keys: Tensor) -> dict[str, Tensor]:
        """Return the mean squared error over starts, for the class with the lowest."""
        # Means on the CPU: on a GPU the order of summation depends on the number of images.
        of_classes = [found.loss.cpu().mean(dim=1) for found in _found(searches, images, keys)]
        return {"score": torch.stack(of_classes).amin(dim=0)}

    def rebuild(self, searches: list[LatentSearch], images: Tensor, keys: Tensor) -> Tensor:
        """Return each image's reconstruction from the best start of the class with the lowest error."""
        # One image at a time, so that a start always has the same position in its block: for small z and few classes,
        # the last bit of the gradient depends on it. A loss mostly rounds this away, but a reconstruction does not.
        alone = zip(images.split(1), keys.split(1), strict=True)
        return torch.cat([min(_found(searches, *each), key=lambda found: found.loss.mean()).closest for each in alone])


def _found(searches: list[LatentSearch], images: Tensor, keys: Tensor) -> Iterator[Found]:
    """Search lazily, class by class, so that only one result is in memory."""
    return (search.find((images,), keys) for search in searches)
