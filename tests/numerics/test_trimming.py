"""Remedies against contaminated training images: what a model takes for anomalies, and that it trains without them."""

import copy

import numpy as np
import pytest
import torch

from heldout import registry
from heldout.networks.shape import ImageShape
from heldout.numerics import randomness, training_steps
from heldout.numerics.pixels import to_unit_range
from heldout.numerics.trimming import image_losses
from tests.conftest import fresh, noise, trained

SHAPE = ImageShape(1, 32, classes=3)
MODELS = registry.names("model")


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def expected_losses(model, images, classes):
    """Each image's loss by itself, written out per model."""
    name = type(model).__module__.rpartition(".")[2]
    with torch.no_grad():
        if name == "deep_svdd":
            return (model.embedding(images) - model.centre).square().sum(1)
        if name == "mmd":
            z = torch.randn(model.params.batch, model.params.latent, generator=randomness.generator("trimming"))
            made = model.generator(z).flatten(1)
            return torch.stack([(image.flatten() - made).square().sum(1).min() for image in images])
        if name == "cgan":
            return -model.discriminator(images, classes)
        if name in ("bigan", "vae", "dcae", "ganomaly", "izi_encoder"):
            return (images - model.autoencoder(images)).square().sum((1, 2, 3))
        return -model.discriminator(images)


@pytest.mark.parametrize("name", MODELS)
def test_an_image_has_the_loss_of_its_models_own_parts_whatever_its_neighbours(name):
    model = trained(name, SHAPE)
    images, classes = to_unit_range(noise(10, 1, 32)), torch.arange(10) % 3
    told = (classes,) if registry.load("model", name).facts["conditional"] else ()
    before = state(model)
    losses = image_losses(model, images, *told)
    assert model.training and same(before, model.state_dict())
    model.eval()
    # A matrix product rounds distances of 1,024 pixels otherwise than a sum over each image does.
    torch.testing.assert_close(losses, expected_losses(model, images, classes), rtol=1e-4, atol=1e-3)
    model.train()
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    assert torch.equal(image_losses(model, images[order], *(each[order] for each in told)), losses[order])


def drawn_batches(model, images, spec, classes):
    """Train, and return every batch that the model was given."""
    given, step = [], model.step

    def recording(draw, rng):
        def recorded():
            given.append(draw())
            return given[-1]

        return step(recorded, rng)

    model.step = recording
    assert sum(1 for _ in training_steps.Training(lambda: model, images, spec, classes)) == model.params.steps
    return given


@pytest.mark.parametrize("name", ["dcae", "wgan", "cgan"])
def test_trim_leaves_the_highest_losses_out_of_every_batch(name):
    """Against the first batch, written out: 4 of the first 6 images of the order, those of the lowest loss."""
    model, spec = fresh(name, SHAPE, trim=1 / 3)
    images = noise(20, 1, 32)
    classes = torch.arange(20) % 3 if name == "cgan" else None
    first = copy.deepcopy(model)
    given = drawn_batches(model, images, spec, classes)
    chosen = torch.randperm(20, generator=randomness.batch_order(0, name))[:6]
    losses = image_losses(first.train(), to_unit_range(images[chosen]), *([] if classes is None else [classes[chosen]]))
    kept = [index for place, index in enumerate(chosen.tolist()) if place in losses.argsort()[:4].tolist()]
    shown = given[0][0] if name == "cgan" else given[0]
    assert torch.equal(shown, to_unit_range(images[kept]))
    if name == "cgan":
        assert torch.equal(given[0][1], classes[kept])


@pytest.mark.parametrize("name", MODELS)
def test_every_model_can_be_trimmed_and_refitted(name):
    plain, trimmed = trained(name, SHAPE), trained(name, SHAPE, trim=0.25)
    refitted = trained(name, SHAPE, refit=0.25)
    for changed in (trimmed, refitted):
        assert all(torch.isfinite(tensor).all() for tensor in changed.state_dict().values())
        assert not same(plain.state_dict(), changed.state_dict())
    assert not same(trimmed.state_dict(), refitted.state_dict())


def test_refit_trains_anew_from_the_first_weights_without_the_most_anomalous_images():
    """Against two trainings by hand, of all images and then of the 15 of 20 with the lowest losses."""
    images = noise(20, 1, 32)
    images[::4] = 255  # unlike the rest
    _, spec = fresh("dcae", SHAPE, refit=0.25, steps=3)
    by_hand, plain = fresh("dcae", SHAPE, steps=3)
    training = training_steps.Training(lambda: fresh("dcae", SHAPE, refit=0.25, steps=3)[0], images, spec)
    assert len(list(training)) == 6  # 3 each

    first = copy.deepcopy(by_hand)
    for _ in training_steps.Training(lambda: first, images, plain):
        pass
    losses = image_losses(first, to_unit_range(images)).numpy()
    kept = np.sort(np.argsort(losses, kind="stable")[:15])
    order = randomness.batch_order(0, "dcae")
    spent = randomness.batches(images, 4, order)
    for _ in range(3):
        spent()  # the first training's draws
    draw = randomness.batches(images[kept], 4, order)
    by_hand.train()
    by_hand.start(images[kept])
    for _ in range(3):
        by_hand.step(draw, None)
    assert same(by_hand.state_dict(), training.model.state_dict())


def test_a_trained_autoencoder_trims_the_outliers():
    """Dark images and a white one in ten: what is left out of the last batches are the white ones."""
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 40, (100, 1, 32, 32), generator=rng, dtype=torch.uint8)
    outliers = torch.zeros(100, dtype=torch.bool)
    outliers[::10] = True
    images[outliers] = 255
    model, spec = fresh("dcae", SHAPE, steps=60, batch=16, trim=0.2, width=8, learning_rate=1e-3)
    given = drawn_batches(model, images, spec, None)
    assert not any((batch.mean((1, 2, 3)) > -0.5).any() for batch in given[-10:])
