"""What a method promises whose making of an image is drawn, beside its score. New ones are tested without an edit."""

import pytest
import torch
from torch.testing import assert_close

from heldout import registry
from heldout.methods import Method
from heldout.networks.shape import ImageShape
from heldout.numerics import randomness, scoring_steps
from heldout.numerics.pixels import to_unit_range
from tests.conftest import noise
from tests.methods.test_conformance import COUNT, SHAPES, create, read_by

OFFERS = ("rebuild", "path")
REBUILDING = [name for name in registry.names("method") if "rebuild" in registry.load("method", name).facts["offers"]]


@pytest.fixture(params=SHAPES, ids=lambda shape: f"{shape.channels}x{shape.side}px")
def image(request):
    return request.param


def images_and_keys(image: ImageShape) -> tuple[torch.Tensor, torch.Tensor]:
    return to_unit_range(noise(COUNT, image.channels, image.side, seed=1)), randomness.image_keys(0, range(COUNT))


@pytest.mark.parametrize("name", registry.names("method"))
def test_a_method_offers_what_its_registration_says(name):
    entry = registry.load("method", name)
    own = [part for part in OFFERS if getattr(entry.plugin, part) is not getattr(Method, part)]
    assert own == entry.facts["offers"]


@pytest.mark.parametrize("name", REBUILDING)
def test_what_a_method_makes_of_an_image_ignores_its_neighbours_and_the_batch(name, image):
    (images, keys), model, method = images_and_keys(image), read_by(name, image), create(name)
    before = {key: weight.clone() for key, weight in model.state_dict().items()}
    prepared = method.prepare(model)
    together = scoring_steps.rebuild(method, prepared, images, keys)
    assert together.shape == images.shape and together.abs().max() <= 1
    shuffled = torch.randperm(COUNT, generator=torch.Generator().manual_seed(3)).tolist()
    for chosen, at_a_time in ((shuffled, COUNT), (list(range(COUNT)), 7), ([5, 23, 0], 1), ([4, 4], 2)):
        parts = [chosen[first : first + at_a_time] for first in range(0, len(chosen), at_a_time)]
        apart = [scoring_steps.rebuild(method, prepared, images[part], keys[part]) for part in parts]
        assert_close(torch.cat(apart), together[chosen], rtol=0, atol=0)
    assert_close(dict(model.state_dict()), before, rtol=0, atol=0)


DIFFERENCES = {
    "squared": lambda difference: difference.square().sum(1),
    "mean squared": lambda difference: difference.square().mean(1),
    "absolute": lambda difference: difference.abs().sum(1),
}


@pytest.mark.parametrize(
    ("name", "params", "column", "difference"),
    [
        ("reconstruction", {}, "score", "squared"),
        ("reconstruction", {"norm": "absolute"}, "score", "absolute"),
        ("ganomaly", {}, "contextual", "absolute"),
        ("fanogan", {}, "residual", "mean squared"),
        ("egbad", {}, "residual", "absolute"),
        ("anogan", {}, "residual", "absolute"),
        ("adgan", {"starts": 1}, "score", "squared"),
        ("adgan", {"starts": 1, "theta_lr": 0.01}, "score", "squared"),
        ("conditional_search", {"starts": 1}, "score", "squared"),
    ],
)
def test_what_is_drawn_is_what_the_score_judges(name, params, column, difference, image):
    (images, keys), model = images_and_keys(image), read_by(name, image)
    method = registry.create("method", name, registry.small("method", name) | params)
    prepared = method.prepare(model)
    made = scoring_steps.rebuild(method, prepared, images, keys)
    found = scoring_steps.score_images(method, prepared, images, keys)[column]
    assert_close(found, DIFFERENCES[difference]((images - made).flatten(1)), rtol=1e-5, atol=0)


def test_of_several_starts_the_closest_is_drawn(image):
    (images, keys), model, method = images_and_keys(image), read_by("adgan", image), create("adgan")
    search, _ = method.prepare(model)
    found = search.find((images,), keys)
    every = (found.made - images[:, None]).square().flatten(2).sum(2)  # (images, starts)
    drawn = (scoring_steps.rebuild(method, method.prepare(model), images, keys) - images).square().flatten(1).sum(1)
    assert every.shape[1] == 3 and (every.argmin(dim=1) > 0).any()
    assert_close(drawn, every.amin(dim=1), rtol=1e-6, atol=0)
