"""The search through classes: it is ADGAN's search on each, and the best class counts."""

import torch

from heldout import registry
from heldout.methods import adgan
from heldout.networks.shape import ImageShape
from heldout.numerics import randomness
from heldout.numerics.pixels import to_unit_range
from heldout.numerics.scoring_steps import score_images
from tests.conftest import noise, trained


class Fixed(torch.nn.Module):
    """A trained conditional generator with its class written in."""

    def __init__(self, generator: torch.nn.Module, number: int) -> None:
        super().__init__()
        self.inner, self.number, self.latent = generator, number, generator.latent

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        code = torch.zeros(len(z), 3)
        code[:, self.number] = 1
        return self.inner.network(torch.cat([z, code], dim=1))


def test_the_score_is_the_least_over_classes_of_adgans():
    model = trained("cgan", ImageShape(1, 16)).eval().requires_grad_(False)
    images, keys = to_unit_range(noise(6, 1, 16, seed=1)), randomness.image_keys(0, range(6))
    params = {"starts": 3, "steps": 4, "theta_lr": 0, "block": 4}
    of_each = []
    for number in range(3):
        plain = torch.nn.Module()
        plain.generator = Fixed(model.conditional_generator, number)
        literal = adgan.ADGAN(adgan.Params(**params))
        of_each.append(score_images(literal, literal.prepare(plain), images, keys)["score"])
    least = torch.stack(of_each).min(0)
    assert len(least.indices.unique()) > 1  # so the class matters
    method = registry.create("method", "conditional_search", params)
    found = score_images(method, method.prepare(model), images, keys)["score"]
    torch.testing.assert_close(found, least.values, rtol=0, atol=0)
