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
from heldout.numerics.blocks import in_blocks
from heldout.numerics.randomness import starting_points
from heldout.search.laplacian import laplacian_distance
from heldout.search.latent import Found, LatentParams, Loss, Settings, latent_search, mean_squared_error, squared_error


class SearchParams(LatentParams):
    """The joint search of ADGAN's Algorithm 1."""

    starts: int = Field(64, ge=1, description="starting points per image (n_seed)")
    steps: int = Field(5, ge=0, description="Adam steps from each starting point (k)")
    z_lr: float = Field(0.25, gt=0, description="Adam's step size on z (footnote 5)")
    theta_lr: float = Field(5e-5, ge=0, description="Adam's step size on the weights (footnote 5); 0 searches z alone")
    beta1: float = Field(0.5, ge=0, lt=1, description="Adam's decay of the mean gradient (footnote 5)")
    beta2: float = Field(0.999, ge=0, lt=1, description="Adam's decay of the squared gradient (footnote 5)")
    update: Literal["together", "in_turn"] = Field(
        "together", description="z and the weights in one step, or z first and then the weights; the paper is silent"
    )
    block: int = Field(8, ge=1, description="starting points in one forward; 64 suits a GPU better, and theta_lr 0")
    backend: Literal["auto", "native", "compiled", "torch"] = Field(
        "auto",
        description="of the joint search: a C++ kernel, PyTorch compiled or not; auto: the kernel, on a GPU compiled",
    )


class Params(SearchParams):
    read_loss: Literal["after_last_step", "at_last_step"] = Field(
        "after_last_step", description="the loss after k updates, or the one that the last update saw; silent too"
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


def search(
    model: nn.Module,
    images: Tensor,
    keys: Tensor,
    params: SearchParams,
    loss: Loss = squared_error,
    at: Tensor | None = None,
    with_path: bool = False,
) -> Found:
    """Run ADGAN's search on a model's `generator`; `at` is where it starts, `(N, starts, latent)`, or the prior."""
    settings = params.model_dump(include=set(Settings.__dataclass_fields__))
    return latent_search(model.generator, (images,), keys, loss, Settings(**settings), at, with_path)


@registry.method(
    "adgan",
    paper="Deecke et al., ECML-PKDD 2018",
    reads=("generator",),
    cost="starts x steps forwards and backwards of the generator, with a copy of its weights per start",
    cost_class="joint search",
    family="search",
    default_model="wgan",
    offers=("rebuild", "find"),
    when={"begin=encoder": {"reads": ["encoder"]}},
    small={"starts": 3, "steps": 2, "block": 4},
    passes="1 + starts * steps * (2 if update == 'in_turn' else 1)",
    rows="starts",
    moves_weights="theta_lr > 0",
    shortened="steps",
)
class ADGAN:
    def __init__(self, params: Params) -> None:
        self.params = params

    def score(self, model: nn.Module, images: Tensor, keys: Tensor) -> dict[str, Tensor]:
        """Score images; higher is more anomalous.

        Args:
            model: has a `generator`, and for `begin: encoder` an `encoder`, in eval mode; comes back unchanged.
            images: `(N, C, H, W)` float32 in [-1, 1], the range of the generator's tanh.
            keys: `(N,)` int64, the seed of each image's starts: why batch and order cannot matter.

        Returns:
            `score`: `(N,)` float32, the loss over C*H*W pixels, averaged over the starts.
        """
        # On the CPU, since a GPU adds up in an order that depends on how many images there are.
        return {"score": self.find(model, images, keys).loss.cpu().mean(dim=1)}  # (N, starts) -> (N,)

    def find(self, model: nn.Module, images: Tensor, keys: Tensor, with_path: bool = False) -> Found:
        """Return where the searches for each image end, and on request how they went; arguments as `score`'s."""
        params = self.params
        loss = squared_error if params.reduction == "sum" else mean_squared_error
        if params.loss == "laplacian_pyramid":
            loss = laplacian_distance
        at = self._around_code(model, images, keys) if params.begin == "encoder" else None
        return search(model, images, keys, params, loss, at, with_path)

    def rebuild(self, model: nn.Module, images: Tensor, keys: Tensor) -> Tensor:
        """Return what the closest start makes of each image, `(N, C, H, W)`, by its private weights."""
        return self.find(model, images, keys).closest

    def _around_code(self, model: nn.Module, images: Tensor, keys: Tensor) -> Tensor:
        (code,) = in_blocks(model.encoder, images, size=self.params.block)
        noise = self.params.noise * starting_points(keys, self.params.starts, code.shape[1]).to(code.device)
        noise[:, 0] = 0
        return code.unsqueeze(1) + noise  # (N, starts, latent)
