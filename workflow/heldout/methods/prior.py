"""Negative log-density, under the prior, of the latent vectors that ADGAN's search finds.

    score = mean_j -log p(z_j) = mean_j ||z_j||^2 / 2,  without the constant (latent / 2) log(2 pi)

Source: Deecke et al., ECML-PKDD 2018, section 3.2; section 4.3 reports that it works only slightly better than the
discriminator (mean AUROC 0.721 on MNIST, 0.554 on CIFAR-10).
Deviations: none. The search, its parameters and the starts of each image are those of `adgan`.
"""

from torch import Tensor, nn

from heldout import registry
from heldout.methods import Backend, Method
from heldout.methods._search import SearchParams, backends, settings
from heldout.search.latent import LatentSearch, squared_error


class Params(SearchParams):
    pass


@registry.method(
    "prior",
    paper="Deecke et al., ECML-PKDD 2018",
    reads=("generator",),
    cost="as adgan: the same search",
    cost_class="joint search",
    family="search",
    default_model="wgan",
    small={"starts": 3, "steps": 2, "block": 4},
    passes="1 + starts * steps * (2 if update == 'in_turn' else 1)",
    moves_weights="theta_lr > 0",
    shortened="steps",
)
class Prior(Method):
    def __init__(self, params: Params) -> None:
        self.params = params

    def prepare(self, model: nn.Module) -> LatentSearch:
        return LatentSearch(model.generator, squared_error, settings(self.params))

    def backends(self, search: LatentSearch) -> dict[str, Backend]:
        return backends(search)

    def score(self, search: LatentSearch, images: Tensor, keys: Tensor) -> dict[str, Tensor]:
        """Return half the squared norm of the final z, averaged over the starts."""
        # On the CPU: on a GPU the order of summation depends on the number of images.
        z = search.find((images,), keys).z.cpu()  # (N, starts, latent)
        return {"score": z.square().sum(dim=2).mean(dim=1) / 2}
