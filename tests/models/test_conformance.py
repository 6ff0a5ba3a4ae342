"""What every registered model promises. A new file in models/ is tested here without an edit."""

import pytest
import torch
from torch.testing import assert_close

from heldout import registry
from heldout.networks.shape import ImageShape
from heldout.planning import schema
from heldout.stages.samples import sample
from tests.conftest import fresh, trained

SHAPES = [ImageShape(1, 32), ImageShape(3, 64)]


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


def test_every_part_moves_in_training_and_stays_finite_and_a_parent_stands_still(name, image):
    model, (before_training, _) = trained(name, image), fresh(name, image)
    for (key, after), before in zip(model.named_parameters(), before_training.parameters(), strict=True):
        assert after.isfinite().all(), key
        if key.startswith("parent."):
            assert torch.equal(after, before), key
        elif after.dim() > 1:  # a bias may cancel in a difference of two outputs, as in WGAN's critic
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
    if "encoder" in provides:
        latent = model.generator.latent if "generator" in provides else model.encoder(images).shape[1]
        assert model.encoder(images).shape == (3, latent)
    if "autoencoder" in provides:
        assert model.autoencoder(images).shape == images.shape and model.autoencoder(images).abs().max() <= 1
    if "conditional_generator" in provides:
        generator = model.conditional_generator
        made = generator(torch.zeros(3, generator.latent), torch.arange(3) % generator.classes)
        assert made.shape == images.shape and made.abs().max() <= 1


def test_a_model_is_documented_for_the_command_line(name):
    facts = schema.plugins("model")[name]
    assert facts["summary"].endswith(".") and facts["paper"]
    assert all("description" in rule for rule in schema.parameters("model", name).values())


def test_training_is_in_training_mode(name, image):
    batch_norms = [module for module in trained(name, image).modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert all(module.num_batches_tracked > 0 for module in batch_norms)


def test_a_history_can_draw_samples_without_changing_the_training(name, image):
    model = trained(name, image)
    before = {key: weight.clone() for key, weight in model.state_dict().items()}
    model.eval()
    made = sample(name, model, 5, torch.Generator().manual_seed(0))
    assert made is None or (made.shape == (5, image.channels, image.side, image.side) and not made.requires_grad)
    assert_close(dict(model.state_dict()), before, rtol=0, atol=0)
