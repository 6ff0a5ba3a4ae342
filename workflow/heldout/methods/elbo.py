"""Negative evidence lower bound of a VAE, an upper bound of -log p(x).

    score = -ELBO(x) = -E_{z ~ q(z|x)} log p(x|z) + KL(q(z|x) || N(0, I))  >=  -log p(x)

The expectation is a mean over `draws` samples; the KL divergence is exact. The components `reconstruction` and `kl` are
the two terms, in nats.

Source: Kingma, Welling, ICLR 2014, eqs. 3 and 10. The ADGAN paper scores VAEs with it (section 4.2) and finds it "much
better" than `vae_prior` and `vae_variance`. Eight draws as in its first author's code (ldeecke/vae-torch).
Deviations: none.
"""

from pydantic import Field
from torch import Tensor, nn

from heldout import registry
from heldout.methods import Method, MethodParams
from heldout.networks.gaussian import divergence_from_prior, moved
from heldout.numerics.randomness import posterior_noise


class Params(MethodParams):
    draws: int = Field(8, ge=1, description="samples of z per image in the expectation (ldeecke/vae-torch)")


@registry.method(
    "elbo",
    paper="Kingma, Welling, ICLR 2014",
    reads=("posterior", "log_likelihood"),
    cost="one forward of the encoder, draws forwards of the decoder",
    cost_class="forward",
    family="autoencoder",
    default_model="vae",
    components=("reconstruction", "kl"),
    small={"draws": 3, "block": 4},
    passes="1 + draws",
)
class ELBO(Method):
    def __init__(self, params: Params) -> None:
        self.params = params

    def score(self, model: nn.Module, images: Tensor, keys: Tensor) -> dict[str, Tensor]:
        """Return -ELBO and its two terms, in nats."""
        mean, log_variance = model.posterior(images)
        noise = posterior_noise(keys, self.params.draws, mean.shape[1]).to(mean.device)  # (N, draws, latent)
        drawn = [moved(one, mean, log_variance) for one in noise.unbind(1)]
        reconstruction = -sum(model.log_likelihood(images, z) for z in drawn) / len(drawn)
        kl = divergence_from_prior(mean, log_variance)
        return {"score": reconstruction + kl, "reconstruction": reconstruction, "kl": kl}
