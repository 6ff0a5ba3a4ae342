"""The DCAE's step, and a linear one against the optimum that principal components give."""

import copy

import torch
from sklearn.decomposition import PCA
from torch import nn

from heldout import registry
from heldout.networks.shape import ImageShape
from heldout.numerics import randomness
from heldout.numerics.pixels import to_unit_range
from tests.conftest import noise

IMAGE = ImageShape(1, 16)


def fresh(**params: object) -> nn.Module:
    params = registry.small("model", "dcae") | params
    return registry.create("model", "dcae", params, IMAGE, randomness.generator(0, "weights"))


def test_steps_lower_the_squared_error_and_the_step_size_falls_to_a_tenth():
    model = fresh(steps=4, batch=6, learning_rate=1e-3, weight_decay=0.1, lower_after=0.5)
    literal = copy.deepcopy(model)
    images = noise(20, 1, 16)
    model.start(images)
    draw = randomness.batches(images, 6, randomness.generator(0, "b"))
    found = [model.step(draw, randomness.generator(0, "z"))["reconstruction"] for _ in range(4)]

    draw = randomness.batches(images, 6, randomness.generator(0, "b"))
    adam = torch.optim.Adam(literal.parameters(), 1e-3, weight_decay=0.1)
    for step, rate in enumerate([1e-3, 1e-3, 1e-4, 1e-4]):
        batch = draw()
        loss = (batch - literal.decoder(literal.encoder(batch))).pow(2).sum() / 6
        torch.testing.assert_close(found[step], loss.detach(), rtol=1e-4, atol=0)
        adam.param_groups[0]["lr"] = rate
        adam.zero_grad(), loss.backward(), adam.step()
    for (name, weight), expected in zip(model.named_parameters(), literal.parameters(), strict=True):
        # Adam's first step is the sign of the gradient: where that is near zero, rounding decides.
        assert (weight - expected).abs().median() < 1e-6, name


def test_a_linear_one_reaches_what_principal_components_lose():
    """The best linear autoencoder projects on the leading components (Baldi, Hornik 1989)."""
    rng = torch.Generator().manual_seed(0)
    strengths = torch.tensor([40.0, 30.0, 20.0, 4.0, 3.0])
    directions = torch.linalg.qr(torch.randn(256, 5, generator=rng)).Q * 16  # a root mean square of 1 per pixel
    pixels = 127 + (torch.randn(60, 5, generator=rng) * strengths) @ directions.T
    images = pixels.clamp(0, 255).to(torch.uint8).view(60, 1, 16, 16)
    model = fresh(batch=60, steps=600, learning_rate=0.02, weight_decay=0.0, lower_after=0.7)
    model.encoder = nn.Sequential(nn.Flatten(), nn.Linear(256, 3))
    model.decoder = nn.Sequential(nn.Linear(3, 256), nn.Unflatten(1, (1, 16, 16)))
    for weight in model.parameters():
        weight.data.normal_(0, 0.02, generator=rng)
    model.start(images)
    draw = randomness.batches(images, 60, randomness.generator(0, "b"))
    for _ in range(600):
        loss = model.step(draw, rng)["reconstruction"]

    flat = to_unit_range(images).flatten(1).double().numpy()
    components = PCA(3).fit(flat)
    best = ((flat - components.inverse_transform(components.transform(flat))) ** 2).sum(1).mean()
    assert best * (1 - 1e-4) < loss < best * 1.001
    score = registry.create("method", "reconstruction", {}).score(model, to_unit_range(images), torch.arange(60))
    assert best * (1 - 1e-4) < score["score"].mean() < best * 1.001


def test_a_bounded_code_is_the_tanh_of_the_free_one():
    free, bounded = fresh().eval(), fresh(bounded=True).eval()
    images = to_unit_range(noise(3, 1, 16))
    assert torch.equal(bounded.encoder(images), free.encoder(images).tanh())
    assert not torch.equal(bounded.encoder(images), free.encoder(images))
