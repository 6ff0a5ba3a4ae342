"""Total variance of the code of a VAE's encoder.

    score = sum_d variance_d(x),  the trace of the covariance of q(z|x) = N(mean(x), diag variance(x))

Source: Deecke et al., ECML-PKDD 2018, section 4.2: "more exotic approaches, such as scoring from the variance of the
inference network", which the paper finds much worse than the ELBO.
Deviations: none known. The paper gives no formula and no sign. We expect a high variance for anomalies, since the
encoder has not learnt to code images unlike the training images. On digits the opposite is mostly true (AUROC below
0.5); the sign stays, since test labels must not choose it.
"""

from torch import Tensor, nn

from heldout import registry
from heldout.methods import Method, MethodParams


@registry.method(
    "vae_variance",
    paper="Deecke et al., ECML-PKDD 2018",
    reads=("posterior",),
    cost="one forward of the encoder",
    cost_class="forward",
    family="autoencoder",
    default_model="vae",
    small={"block": 4},
)
class VAEVariance(Method):
    def __init__(self, params: MethodParams) -> None:
        self.params = params

    def score(self, model: nn.Module, images: Tensor, keys: Tensor) -> dict[str, Tensor]:
        _, log_variance = model.posterior(images)
        return {"score": log_variance.exp().sum(dim=1)}  # (N, latent) -> (N,)
