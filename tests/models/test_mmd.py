"""The moment matching network: its statistic by hand, by a double loop, and its step."""

import copy
import math

import torch
from torch import nn

from heldout import registry
from heldout.models.mmd import squared_mmd
from heldout.networks.shape import ImageShape
from heldout.numerics import randomness
from tests.conftest import noise

IMAGE = ImageShape(1, 16)


def fresh(**params: object) -> nn.Module:
    params = registry.small("model", "mmd") | params
    return registry.create("model", "mmd", params, IMAGE, randomness.generator(0, "weights"))


def draws(count: int, dimensions: int, seed: int) -> torch.Tensor:
    return torch.rand(count, dimensions, generator=torch.Generator().manual_seed(seed))


def test_two_points_and_one_by_hand():
    a, b = torch.tensor([[0.0, 0.0], [0.0, 2.0]]), torch.tensor([[1.0, 0.0]])
    # Squared distances: 4 within a; 1 and 5 between a and b. Variance 0.5 gives exp(-distance), 2 exp(-distance / 4).
    narrow = (2 + 2 * math.exp(-4)) / 4 + 1 - 2 * (math.exp(-1) + math.exp(-5)) / 2
    wide = (2 + 2 * math.exp(-1)) / 4 + 1 - 2 * (math.exp(-1 / 4) + math.exp(-5 / 4)) / 2
    torch.testing.assert_close(squared_mmd(a, b, [0.5, 2.0]), torch.tensor(narrow + wide))


def test_a_sample_is_at_no_distance_from_itself_in_any_order_and_its_loss_has_a_gradient():
    a = draws(20, 30, seed=0)
    assert abs(squared_mmd(a, a.flip(0), [2.0, 5.0])) < 1e-6
    images = (draws(4, 256, seed=1) * 2 - 1).reshape(4, 1, 16, 16).requires_grad_()
    loss = fresh().generator_loss(images.detach(), images)
    loss.backward()
    assert loss < 1e-3 and images.grad.isfinite().all()


def test_the_loss_is_the_root_of_the_double_loops_over_pixels_between_0_and_1():
    real = to_images(draws(5, 256, seed=0))
    fake = to_images(draws(4, 256, seed=1) ** 2)
    model = fresh()
    assert model.params.bandwidths == [2, 5, 10, 20, 40, 80]

    def kernel(x: torch.Tensor, y: torch.Tensor) -> float:
        squared = sum((p - q) ** 2 for p, q in zip(x.flatten().tolist(), y.flatten().tolist(), strict=True)) / 2**2
        return sum(math.exp(-squared / (2 * variance)) for variance in (2, 5, 10, 20, 40, 80))

    within_real = sum(kernel(x, y) for x in real for y in real) / 25
    within_fake = sum(kernel(x, y) for x in fake for y in fake) / 16
    between = sum(kernel(x, y) for x in real for y in fake) / 20
    expected = math.sqrt(within_real + within_fake - 2 * between)
    torch.testing.assert_close(model.generator_loss(real, fake), torch.tensor(expected), rtol=1e-4, atol=1e-6)


def to_images(rows: torch.Tensor) -> torch.Tensor:
    return rows.reshape(-1, 1, 16, 16) * 2 - 1


def test_mixed_precision_leaves_the_statistic_alone():
    a, b = draws(20, 30, seed=0), draws(20, 30, seed=1)
    with torch.autocast("cpu", torch.bfloat16):
        assert squared_mmd(a, b, [2.0]) == squared_mmd(a.clone(), b.clone(), [2.0])
        mixed = squared_mmd(a, b, [2.0])
    assert torch.equal(mixed, squared_mmd(a, b, [2.0]))


def test_a_step_lowers_the_loss_by_adam():
    rate = 1e-3
    model = fresh(batch=6, learning_rate=rate)
    literal = copy.deepcopy(model.generator)
    images = noise(20, 1, 16)
    model.start(images)
    found = model.step(randomness.batches(images, 6, randomness.generator(0, "b")), randomness.generator(0, "z"))

    adam = torch.optim.Adam(literal.parameters(), lr=rate, betas=(0.9, 0.999))
    real = randomness.batches(images, 6, randomness.generator(0, "b"))().flatten(1) / 2
    fake = literal(torch.randn(6, literal.latent, generator=randomness.generator(0, "z"))).flatten(1) / 2
    rows = torch.cat([real, fake])
    signs = torch.tensor([1.0] * 6 + [-1.0] * 6) / 6
    squared = (rows[:, None] - rows[None]).square().sum(2)
    kernels = sum((-squared / (2 * variance)).exp() for variance in (2, 5, 10, 20, 40, 80))
    loss = (signs @ kernels @ signs).sqrt()
    torch.testing.assert_close(found["generator"], loss.detach(), rtol=1e-4, atol=1e-6)
    loss.backward(), adam.step()
    for (name, weight), expected in zip(model.generator.named_parameters(), literal.parameters(), strict=True):
        # Adam's first step is the sign of the gradient: where that is near zero, rounding decides.
        assert (weight - expected).abs().median() < 1e-7, name
