"""The latent search on a conditional GAN: through every normal class, and the class that comes closest counts.

    score = min_y mean_j ||x - G(z_j, y)||^2

For each normal class y, ADGAN's search from the same `starts` points; by default z alone moves.

Source: ours; the survey (section 2.2) presents conditional GANs and leaves open how they score. The search is that of
Deecke et al., ECML-PKDD 2018.
Deviations: none.
"""

from collections.abc import Iterator

import torch
from pydantic import Field
from torch import Tensor, nn

from heldout import registry
from heldout.methods.adgan import SearchParams, search
from heldout.search.latent import Found


class Params(SearchParams):
    steps: int = Field(20, ge=0, description="Adam steps from each starting point")
    theta_lr: float = Field(0, ge=0, description="Adam's step size on the weights; 0 searches z alone")
    block: int = Field(64, ge=1, description="starting points in one forward; 8 where the weights move, on a CPU")


class OfOneClass(nn.Module):
    """A conditional generator that draws one class, as the generator that the search reads."""

    def __init__(self, conditional_generator: nn.Module, number: int) -> None:
        super().__init__()
        self.inner, self.number, self.latent = conditional_generator, number, conditional_generator.latent

    @property
    def generator(self) -> nn.Module:
        return self

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
    rows="starts",
    moves_weights="theta_lr > 0",
    shortened="steps",
)
class ConditionalSearch:
    def __init__(self, params: Params) -> None:
        self.params = params

    def score(self, model: nn.Module, images: Tensor, keys: Tensor) -> dict[str, Tensor]:
        """Score images; higher is more anomalous.

        Args:
            model: has a `conditional_generator`, in eval mode; comes back unchanged.
            images: `(N, C, H, W)` float32 in [-1, 1].
            keys: `(N,)` int64, the seed of each image's starts, the same for every class.

        Returns:
            `score`: `(N,)` float32, the mean over starts of the squared error, of the class where it is least.
        """
        # Means on the CPU, since a GPU adds up in an order that depends on how many images there are.
        of_classes = [found.loss.cpu().mean(dim=1) for found in self._searches(model, images, keys)]
        return {"score": torch.stack(of_classes).amin(dim=0)}

    def rebuild(self, model: nn.Module, images: Tensor, keys: Tensor) -> Tensor:
        """Return what the closest start of the class that counts makes of each image, `(N, C, H, W)`."""
        # One by one, so that a start always has the same place in its block: where z and class have few dimensions,
        # the last bit of the gradient depends on that place, and an image shows what a loss mostly rounds away.
        alone = zip(images.split(1), keys.split(1), strict=True)
        return torch.cat(
            [min(self._searches(model, *each), key=lambda found: found.loss.mean()).closest for each in alone]
        )

    def _searches(self, model: nn.Module, images: Tensor, keys: Tensor) -> Iterator[Found]:
        """Search one class after another: what all have made need not be held at once."""
        generator = model.conditional_generator
        for number in range(generator.classes):
            yield search(OfOneClass(generator, number), images, keys, self.params)
