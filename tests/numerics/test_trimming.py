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


@pytest.mark.parametrize("name", MODELS)
def test_an_images_loss_is_its_own_and_leaves_the_model_unchanged(name):
    model = trained(name, SHAPE)
    images, classes = to_unit_range(noise(10, 1, 32)), torch.arange(10) % 3
    told = (classes,) if registry.load("model", name).facts["conditional"] else ()
    before = state(model)
    losses = image_losses(model, images, *told)
    assert model.training and same(before, model.state_dict())
    assert losses.shape == (10,) and losses.dtype == torch.float32 and losses.isfinite().all() and losses.std() > 0
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    assert torch.equal(image_losses(model, images[order], *(each[order] for each in told)), losses[order])


def distance_to_the_nearest_sample(model, image, _):
    z = torch.randn(model.params.batch, model.params.latent, generator=randomness.generator("trimming"))
    return (image - model.generator(z)).square().sum((1, 2, 3)).min()


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("dcae", lambda model, image, _: (image - model.autoencoder(image)).square().sum()),
        ("deep_svdd", lambda model, image, _: (model.embedding(image) - model.centre).square().sum()),
        ("wgan", lambda model, image, _: -model.critic(image)),
        ("cgan", lambda model, image, number: -model.discriminator(image, number)),
        ("mmd", distance_to_the_nearest_sample),
    ],
)
def test_an_images_loss_is_what_its_kind_of_model_says(name, loss):
    """Against each image by itself, written out: one model of each kind."""
    model = trained(name, SHAPE)
    images, classes = to_unit_range(noise(10, 1, 32)), torch.arange(10) % 3
    found = image_losses(model, images, *([classes] if name == "cgan" else []))
    model.eval()
    with torch.no_grad():
        expected = [loss(model, images[n : n + 1], classes[n : n + 1]).squeeze() for n in range(10)]
    # A matrix product rounds distances of 1,024 pixels otherwise than a sum over each image does.
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-4, atol=1e-3)


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
    classes = torch.arange(20) % 3 if spec.normal_classes else None
    first = copy.deepcopy(model)
    given = drawn_batches(model, images, spec, classes)
    chosen = torch.randperm(20, generator=randomness.batch_order(0, name))[:6]
    losses = image_losses(first.train(), to_unit_range(images[chosen]), *([] if classes is None else [classes[chosen]]))
    kept = [index for place, index in enumerate(chosen.tolist()) if place in losses.argsort()[:4].tolist()]
    shown, *told = given[0] if spec.normal_classes else (given[0],)
    assert torch.equal(shown, to_unit_range(images[kept]))
    assert all(torch.equal(numbers, classes[kept]) for numbers in told)


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
