"""ADGAN: mean reconstruction error after a short search over z and a private copy of the generator's weights.

From each of `starts` points z_j ~ N(0, I), `steps` Adam steps on z_j and on a private copy theta_j of the weights
minimise l_j = ||x - g(z_j; theta_j)||^2. The score is the mean of the final l_j: a few steps suffice to reconstruct a
normal image, but not an anomalous one.

Source: Deecke, Vandermeulen, Ruff, Mandt, Kloft, ECML-PKDD 2018, Algorithm 1; values of section 4.2 and footnote 5.
Two options come from its conclusion: `begin: encoder` starts at E(x), as in ALI, with noise on all starts but the
first; `loss: laplacian_pyramid` replaces the squared error by Lap1 (`laplacian.py`).
Deviations: none. The paper's n_seed is called `starts`, since a seed is always the run's here. The choices that the
paper leaves open are parameters (`update`, `read_loss`, `reduction`); batch normalisation stays in eval mode.
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

Prepared = tuple[LatentSearch, nn.Module | None]  # the search; the encoder for `begin: encoder`


class Params(SearchParams):
    read_loss: Literal["after_last_step", "at_last_step"] = Field(
        "after_last_step",
        description="the loss after the last update, or the loss before it; the paper does not say which",
    )
    reduction: Literal["sum", "mean"] = Field(
        "sum", description="squared error summed or averaged over pixels; Adam nearly ignores this factor"
    )
    loss: Literal["squared_error", "laplacian_pyramid"] = Field(
        "squared_error", description="distance of image and generated image (Algorithm 1; the conclusion)"
    )
    begin: Literal["prior", "encoder"] = Field(
        "prior", description="starting points: draws from N(0, I), or around the encoder's code (conclusion)"
    )
    noise: float = Field(
        0.25,
        ge=0,
        description="standard deviation of the noise of `begin: encoder`, not on the first start (ours: z_lr)",
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
        # On the CPU: on a GPU the order of summation depends on the number of images.
        return {"score": self._find(prepared, images, keys).loss.cpu().mean(dim=1)}  # (N, starts) -> (N,)

    def rebuild(self, prepared: Prepared, images: Tensor, keys: Tensor) -> Tensor:
        """Return each image's reconstruction from the start with the lowest loss, by its private weights."""
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
