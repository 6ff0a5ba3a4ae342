"""Every draw comes from a named seed, and only from it."""

import pytest
import torch

from heldout.numerics import randomness
from tests.conftest import noise


def test_generators_differ_by_every_part_of_their_name():
    def draw(*parts: object) -> float:
        return torch.rand(1, generator=randomness.generator(*parts)).item()

    assert draw(0, "z", "wgan") == draw(0, "z", "wgan")
    assert len({draw(0, "z", "wgan"), draw(1, "z", "wgan"), draw(0, "weights", "wgan"), draw(0, "z", "dcgan")}) == 4


def test_the_purposes_are_pinned():
    # Other numbers here would change every training and search there is.
    sources = (
        randomness.first_weights(0, "wgan"),
        randomness.batch_order(0, "wgan"),
        randomness.latents(0, "wgan", "cpu"),
    )
    drawn = [torch.rand(1, generator=rng).item() for rng in sources]
    assert drawn == pytest.approx([0.7993789911, 0.3525870442, 0.7267726660], abs=1e-9)
    assert randomness.image_keys(0, [0, 7]).tolist() == [8487759513338595179, 8267936694753505200]


def test_an_images_key_depends_on_its_index_and_the_seed():
    keys = randomness.image_keys(0, [5, 6])
    assert randomness.image_keys(0, [6])[0] == keys[1]
    assert randomness.image_keys(1, [6])[0] != keys[1]


def test_starting_points_are_standard_normal():
    z = randomness.starting_points(randomness.image_keys(0, range(50)), 20, 32).flatten()  # 32,000 draws
    standard_error = len(z) ** -0.5
    assert abs(z.mean()) < 4 * standard_error
    assert abs(z.square().mean() - 1) < 4 * 2**0.5 * standard_error


def test_batches_are_full_and_see_every_image_equally_often():
    images = torch.arange(5, dtype=torch.uint8).view(5, 1, 1, 1)
    draw = randomness.batches(images, 3, randomness.generator(0, "batches"))
    seen = torch.cat([draw() for _ in range(10)]).flatten()  # 30 draws of 5 images
    values, counts = seen.unique(return_counts=True)
    assert counts.tolist() == [6] * 5
    torch.testing.assert_close(values, torch.arange(5) / 127.5 - 1)


def test_batches_are_the_same_for_the_same_seed_and_shuffled_for_another():
    images = noise(40, 1, 8)

    def first(seed: int) -> torch.Tensor:
        return randomness.batches(images, 16, randomness.generator(seed, "batches"))()

    assert torch.equal(first(0), first(0)) and not torch.equal(first(0), first(1))
    assert first(0).min() >= -1 and first(0).max() <= 1
