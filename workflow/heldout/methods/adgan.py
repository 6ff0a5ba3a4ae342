"""ADGAN: how much of an image the generator still misses after a short search.

From `starts` points z_j ~ N(0, I), take `steps` Adam steps on z_j and on a private copy theta_j of the generator's
weights, lowering l_j = ||x - g(z_j; theta_j)||^2. The score is the mean of the last l_j: a normal image is reached
within a few steps, an anomalous one is not.

Source: Deecke, Vandermeulen, Ruff, Mandt, Kloft, ECML-PKDD 2018, Algorithm 1; values of section 4.2 and footnote 5.
The options that its conclusion proposes: `begin: encoder` begins at E(x), as in ALI, with noise for all starts but the
first; `loss: laplacian_pyramid` takes Lap1 (`laplacian.py`) in place of the squared error.
Deviations: none. Its n_seed is `starts` here: a seed, in this project, is always the run's. Where the paper is silent,
a parameter says so (`update`, `read_loss`, `reduction`); batch normalisation stays in eval mode while theta moves.
"""

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from heldout import registry
from heldout.methods import Backend, Method
from heldout.methods._search import SearchParams, backends, settings
from heldout.numerics.blocks import in_blocks
from heldout.numerics.randomness import starting_points
from heldout.search.laplacian import laplacian_distance
from heldout.search.latent import Found, LatentSearch, mean_squared_error, squared_error

Prepared = tuple[LatentSearch, nn.Module | None]  # the search, and the encoder where starts lie around its code


class Params(SearchParams):
    read_loss: Literal["after_last_step", "at_last_step"] = Field(
        "after_last_step",
        description="the loss after k updates, or the one before the last; the paper does not say which",
    )
    reduction: Literal["sum", "mean"] = Field(
        "sum", description="over the pixels of the squared error; Adam all but ignores the factor"
    )
    loss: Literal["squared_error", "laplacian_pyramid"] = Field(
        "squared_error", description="between image and made image (Algorithm 1; the conclusion's alternative)"
    )
    begin: Literal["prior", "encoder"] = Field(
        "prior", description="where starts lie: draws from N(0, I), or the encoder's code (the conclusion)"
    )
    noise: float = Field(
        0.25, ge=0, description="deviation of the noise on all encoder's starts but the first; ours: one step of z"
    )


@registry.method(
    "adgan",
    paper="Deecke et al., ECML-PKDD 2018",
    reads=("generator",),
    cost="starts x steps forwards and backwards of the generator, with a copy of its weights per start",
    cost_class="joint search",
    family="search",
    default_model="wgan",
    offers=("rebuild", "path"),
    when={"begin=encoder": {"reads": ["encoder"]}},
    small={"starts": 3, "steps": 2, "block": 4},
    passes="1 + starts * steps * (2 if update == 'in_turn' else 1)",
    moves_weights="theta_lr > 0",
    shortened="steps",
)
class ADGAN(Method):
    def __init__(self, params: Params) -> None:
        self.params = params

    def prepare(self, model: nn.Module) -> Prepared:
        params = self.params
        loss = squared_error if params.reduction == "sum" else mean_squared_error
        if params.loss == "laplacian_pyramid":
            loss = laplacian_distance
        encoder = model.encoder if params.begin == "encoder" else None
        return LatentSearch(model.generator, loss, settings(params)), encoder

    def backends(self, prepared: Prepared) -> dict[str, Backend]:
        return backends(prepared[0])

    def score(self, prepared: Prepared, images: Tensor, keys: Tensor) -> dict[str, Tensor]:
        """Return the loss over C*H*W pixels, averaged over the starts."""
        # On the CPU, since a GPU adds up in an order that depends on how many images there are.
        return {"score": self._find(prepared, images, keys).loss.cpu().mean(dim=1)}  # (N, starts) -> (N,)

    def rebuild(self, prepared: Prepared, images: Tensor, keys: Tensor) -> Tensor:
        """Return what the closest start makes of each image, by its private weights."""
        return self._find(prepared, images, keys).closest

    def path(self, prepared: Prepared, images: Tensor, keys: Tensor) -> Tensor:
        return self._find(prepared, images, keys, with_path=True).path

    def _find(self, prepared: Prepared, images: Tensor, keys: Tensor, with_path: bool = False) -> Found:
        search, encoder = prepared
        at = None if encoder is None else self._around_code(encoder, images, keys)
        return search.find((images,), keys, at, with_path)

    def _around_code(self, encoder: nn.Module, images: Tensor, keys: Tensor) -> Tensor:
        (code,) = in_blocks(encoder, images, size=self.params.block)
        noise = self.params.noise * starting_points(keys, self.params.starts, code.shape[1]).to(code.device)
        noise[:, 0] = 0
        return code.unsqueeze(1) + noise  # (N, starts, latent)
