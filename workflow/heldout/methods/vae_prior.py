"""Negative log-density, under the prior, of the mean code of a VAE's encoder.

    score = -log p(mean(x)) = ||mean(x)||^2 / 2,  without the constant (latent / 2) log(2 pi)

Source: Deecke et al., ECML-PKDD 2018, section 4.2: "thresholding directly via the prior likelihood in the latent
space", which the paper finds much worse than the ELBO.
Deviations: none known. The paper does not say which z it uses; ours is the mean of q(z|x), which needs no random draw.
"""

from torch import Tensor, nn

from heldout import registry
from heldout.methods import Method, MethodParams


@registry.method(
    "vae_prior",
    paper="Deecke et al., ECML-PKDD 2018",
    reads=("posterior",),
    cost="one forward of the encoder",
    cost_class="forward",
    family="autoencoder",
    default_model="vae",
    small={"block": 4},
)
class VAEPrior(Method):
    def __init__(self, params: MethodParams) -> None:
        self.params = params

    def score(self, model: nn.Module, images: Tensor, keys: Tensor) -> dict[str, Tensor]:
        mean, _ = model.posterior(images)
        return {"score": mean.square().sum(dim=1) / 2}  # (N, latent) -> (N,)
