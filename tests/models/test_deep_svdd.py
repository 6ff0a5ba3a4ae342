"""Deep SVDD: no way to the trivial solution, where its centre comes from, and its step written out."""

import copy

import pytest
import torch
from torch import nn

from heldout import registry
from heldout.networks import dcgan
from heldout.networks.shape import ImageShape
from heldout.numerics import randomness
from heldout.numerics.pixels import to_unit_range
from tests.conftest import noise, trained

IMAGE = ImageShape(1, 16)


def fresh(**params: object) -> nn.Module:
    params = registry.small("model", "deep_svdd") | params
    return registry.create("model", "deep_svdd", params, IMAGE, randomness.generator(0, "weights"))


def first_step(images: torch.Tensor, **params: object) -> tuple[nn.Module, nn.Module, torch.Tensor]:
    """Return the model before its pretraining and after one step on `images`, and its loss."""
    model = fresh(batch=6, **params)
    before = copy.deepcopy(model)
    model.start(images)
    draw = randomness.batches(images, 6, randomness.generator(0, "b"))
    losses = [model.step(draw, randomness.generator(0, "z")) for _ in range(model.params.pretraining + 1)]
    assert [set(loss) for loss in losses] == [{"reconstruction"}] * model.params.pretraining + [{"distance"}]
    return before, model, losses[-1]["distance"]


def moved_away_from_zero(mean: torch.Tensor, least: float = 0.1) -> torch.Tensor:
    return torch.tensor([value if abs(value) >= least else (least if value >= 0 else -least) for value in mean])


@pytest.mark.parametrize("image", [IMAGE, ImageShape(3, 64)])
def test_nothing_trained_can_shift_an_embedding(image):
    params = registry.small("model", "deep_svdd")
    model = registry.create("model", "deep_svdd", params, image, randomness.generator(0, "weights"))
    kinds = {type(module) for module in model.embedding.modules() if not list(module.children())}
    assert kinds == {nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU}
    for module in model.embedding.modules():
        assert getattr(module, "bias", None) is None
        assert not getattr(module, "affine", False)
    assert all(name.endswith("weight") and weight.dim() == 4 for name, weight in model.named_parameters())


def test_without_weights_every_image_is_embedded_at_zero_which_is_not_the_centre():
    model = trained("deep_svdd", IMAGE).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    model.embedding.features[-2].reset_running_stats()
    assert (model.embedding(to_unit_range(noise(3, 1, 16))) == 0).all()
    assert (model.centre.abs() >= 0.1).all()


def test_the_centre_is_the_first_networks_mean_embedding_moved_away_from_zero():
    images = noise(20, 1, 16)  # not a multiple of the batch: a filled-up block must not count
    for scale in (1, 100):  # as drawn all coordinates are near zero; a hundred times as large most are not
        model = fresh(batch=6, pretraining=0)
        with torch.no_grad():
            model.embedding.code.weight.mul_(scale)
        mean = copy.deepcopy(model).eval().embedding(to_unit_range(images)).mean(0).detach()
        model.start(images)
        model.step(randomness.batches(images, 6, randomness.generator(0, "b")), randomness.generator(0, "z"))
        torch.testing.assert_close(model.centre, moved_away_from_zero(mean), rtol=1e-4, atol=1e-6)
        assert (mean.abs() < 0.1).any() if scale == 1 else (mean.abs() > 0.1).any()
    assert "centre" in model.state_dict()


def test_a_step_draws_embeddings_to_the_centre():
    images = noise(20, 1, 16)
    before, after, loss = first_step(images, pretraining=0, learning_rate=1e-3, weight_decay=0.1)
    centre = moved_away_from_zero(copy.deepcopy(before).eval().embedding(to_unit_range(images)).mean(0))
    adam = torch.optim.Adam(before.embedding.parameters(), 1e-3, weight_decay=0.1)
    batch = randomness.batches(images, 6, randomness.generator(0, "b"))()
    expected = ((before.embedding(batch) - centre) ** 2).sum() / 6
    adam.zero_grad(), expected.backward(), adam.step()
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-4, atol=0)
    for (name, weight), moved in zip(after.named_parameters(), before.parameters(), strict=True):
        # Adam's first step is the sign of the gradient: where that is near zero, rounding decides.
        assert (weight - moved).abs().median() < 1e-7, name


def test_the_step_size_falls_to_a_tenth_after_the_stated_share():
    model = fresh(steps=6, pretraining=0, lower_after=1 / 3, learning_rate=1e-3)
    images = noise(20, 1, 16)
    model.start(images)
    draw = randomness.batches(images, 4, randomness.generator(0, "b"))
    rates = []
    for _ in range(6):
        rates.append(model.optim.param_groups[0]["lr"])
        model.step(draw, randomness.generator(0, "z"))
    assert rates == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4, 1e-4, 1e-4])


def test_pretraining_is_an_autoencoders_and_leaves_no_decoder():
    images = noise(20, 1, 16)
    before, after, loss = first_step(images, pretraining=3, learning_rate=1e-3, pretraining_lower_after=1.0)
    decoder = before.discarded[0]
    assert isinstance(decoder, dcgan.Generator)
    adam = torch.optim.Adam([*before.embedding.parameters(), *decoder.parameters()], 1e-3, weight_decay=5e-7)
    draw = randomness.batches(images, 6, randomness.generator(0, "b"))
    for _ in range(3):
        batch = draw()
        lost = ((batch - decoder(before.embedding(batch))) ** 2).sum() / 6
        adam.zero_grad(), lost.backward(), adam.step()
    mean = copy.deepcopy(before).eval().embedding(to_unit_range(images)).mean(0)
    torch.testing.assert_close(after.centre, moved_away_from_zero(mean), rtol=1e-3, atol=1e-4)
    expected = ((before.embedding(draw()) - after.centre) ** 2).sum() / 6
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-3, atol=0)
    assert set(after.state_dict()) == set(fresh(pretraining=0).state_dict())


def test_training_moves_no_centre():
    images = noise(20, 1, 16)
    _, model, _ = first_step(images)
    centre = model.centre.clone()
    model.step(randomness.batches(images, 6, randomness.generator(1, "b")), randomness.generator(0, "z"))
    assert torch.equal(model.centre, centre) and not model.centre.requires_grad
