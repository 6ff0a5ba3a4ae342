"""What every registered model promises. A new file in models/ is tested here without an edit."""

import pytest
import torch
from torch.testing import assert_close

from heldout import randomness, registry, schema
from tests.conftest import trained

SHAPES = [registry.ImageShape(1, 32), registry.ImageShape(3, 64)]


@pytest.fixture(params=registry.names("model"))
def name(request):
    return request.param


@pytest.fixture(params=SHAPES, ids=lambda shape: f"{shape.channels}x{shape.side}px")
def image(request):
    return request.param


def test_training_twice_gives_the_same_bits_and_another_seed_other_ones(name, image):
    first, again, other = trained(name, image), trained(name, image), trained(name, image, seed=1)
    assert_close(dict(first.state_dict()), dict(again.state_dict()), rtol=0, atol=0)
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


def test_training_draws_from_no_global_generator(name, image):
    torch.manual_seed(1)
    first = trained(name, image)
    torch.manual_seed(2)
    assert_close(dict(trained(name, image).state_dict()), dict(first.state_dict()), rtol=0, atol=0)


def test_every_part_moves_in_training_and_stays_finite(name, image):
    model = trained(name, image)
    fresh = registry.create("model", name, registry.small("model", name), image, randomness.first_weights(0, name))
    for (key, after), before in zip(model.named_parameters(), fresh.parameters(), strict=True):
        assert after.isfinite().all(), key
        if after.dim() > 1:  # a bias may cancel in a difference of two outputs, as in WGAN's critic
            assert not torch.equal(after, before), key


def test_its_parts_have_the_shapes_that_methods_read(name, image):
    model = trained(name, image).eval()
    provides = schema.plugins("model")[name]["provides"]
    assert all(hasattr(model, part) for part in provides)
    images = torch.zeros(3, image.channels, image.side, image.side)
    if "generator" in provides:
        made = model.generator(torch.zeros(3, model.generator.latent))
        assert made.shape == images.shape and made.abs().max() <= 1
    if "discriminator" in provides:
        assert model.discriminator(images).shape == (3,)
        assert len(model.discriminator.features(images)) == 3


def test_a_model_is_documented_for_the_command_line(name):
    facts = schema.plugins("model")[name]
    assert facts["summary"].endswith(".") and facts["paper"]
    assert all("description" in rule for rule in schema.parameters("model", name).values())


def test_training_is_in_training_mode(name, image):
    batch_norms = [module for module in trained(name, image).modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert all(module.num_batches_tracked > 0 for module in batch_norms)
