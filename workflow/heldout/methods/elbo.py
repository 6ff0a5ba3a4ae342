"""Evidence lower bound: how improbable a VAE finds an image, at most.

    score = -ELBO(x) = -E_{z ~ q(z|x)} log p(x|z) + KL(q(z|x) || N(0, I))  >=  -log p(x)

The expectation is a mean over `draws`, the KL is exact; `reconstruction` and `kl` keep the two parts, in nats.

Source: Kingma, Welling, ICLR 2014, eqs. 3 and 10; the ADGAN paper's score of VAEs (section 4.2), "much better" than the
other two that it tried, `vae_prior` and `vae_variance`. Eight draws as in its first author's code (ldeecke/vae-torch).
Deviations: none.
"""

from pydantic import Field
from torch import Tensor, nn

from heldout import registry
from heldout.networks.gaussian import divergence_from_prior, moved
from heldout.numerics.blocks import in_blocks
from heldout.numerics.randomness import posterior_noise


class Params(registry.MethodParams):
    draws: int = Field(8, ge=1, description="z per image that the expectation is averaged over (ldeecke/vae-torch)")


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
class ELBO:
    def __init__(self, params: Params) -> None:
        self.params = params

    def score(self, model: nn.Module, images: Tensor, keys: Tensor) -> dict[str, Tensor]:
        """Score images; higher is more anomalous.

        Args:
            model: has a `posterior` and a `log_likelihood`, in eval mode.
            images: `(N, C, H, W)` float32 in [-1, 1].
            keys: `(N,)` int64, the seed of each image's z.

        Returns:
            `score`, `reconstruction` and `kl`: `(N,)` float32 in nats, the first the sum of the others.
        """
        mean, log_variance = in_blocks(model.posterior, images, size=self.params.block)
        noise = posterior_noise(keys, self.params.draws, mean.shape[1]).to(mean.device)  # (N, draws, latent)

        def missed(images: Tensor, noise: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
            drawn = [moved(one, mean, log_variance) for one in noise.unbind(1)]
            return -sum(model.log_likelihood(images, z) for z in drawn) / len(drawn)

        (reconstruction,) = in_blocks(missed, images, noise, mean, log_variance, size=self.params.block)
        (kl,) = in_blocks(divergence_from_prior, mean, log_variance, size=self.params.block)
        return {"score": reconstruction + kl, "reconstruction": reconstruction, "kl": kl}
