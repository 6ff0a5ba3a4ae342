"""The search against a literal one, and what its results may depend on."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from heldout import registry
from heldout.errors import HeldoutError
from heldout.methods import Method, adgan, anogan
from heldout.networks.shape import ImageShape
from heldout.numerics import randomness
from heldout.numerics.pixels import to_unit_range
from heldout.numerics.scoring_steps import score_images
from heldout.search.laplacian import laplacian_distance
from heldout.search.latent import LatentSearch, Settings, squared_error
from tests.conftest import noise, prepared, trained
from tests.search.literal import literal_ends
from tests.search.literal import squared_error as literally

IMAGE = ImageShape(1, 32)
IMAGES = to_unit_range(noise(3, 1, 32))
KEYS = randomness.image_keys(0, range(3))
BETAS = (0.5, 0.999)


@pytest.fixture(scope="module")
def gan() -> nn.Module:
    return trained("dcgan", IMAGE, width=16, latent=32, batch=16, steps=60).eval().requires_grad_(False)


def scored(method: Method, model: nn.Module, keys: Tensor = KEYS) -> dict[str, Tensor]:
    return score_images(method, method.prepare(model), IMAGES, keys)


UPDATES = [("together", "after_last_step"), ("in_turn", "at_last_step")]


@pytest.mark.parametrize(("update", "read_loss"), UPDATES)
def test_search_of_z_equals_the_literal_algorithm(gan, update, read_loss):
    assert_literal(gan.generator, gan.generator, Settings(6, 5, 0.25, 0.0, *BETAS, 4, update, read_loss))


@pytest.mark.parametrize("theta_lr", [5e-5, 1e-3])
@pytest.mark.parametrize(("update", "read_loss"), UPDATES)
def test_joint_search_equals_the_literal_algorithm(gan, theta_lr, update, read_loss, backend):
    settings = Settings(6, 5, 0.25, theta_lr, *BETAS, 4, update, read_loss, backend=backend)
    assert_literal(gan.generator, gan.generator, settings)


def assert_literal(generator: nn.Module, searched: nn.Module, settings: Settings) -> None:
    literal = literal_ends(generator, IMAGES, literally, settings)
    found = LatentSearch(searched, squared_error, settings).find((IMAGES,), literal.keys)
    errors = (found.loss - literal.loss).abs() / literal.loss
    assert errors.median() <= 1e-6  # Adam's first step is sign-like, so single starts may part
    score, expected = found.loss.mean(dim=1), literal.loss.mean(dim=1)
    assert ((score - expected).abs() / expected).max() <= 1e-3


SHORT = Settings(5, 3, 0.25, 5e-5, *BETAS, 4)


def test_adgan_score_is_the_mean_of_the_literal_searches(gan, backend):
    method = registry.create("method", "adgan", {"starts": 5, "steps": 3, "backend": backend})
    literal = literal_ends(gan.generator, IMAGES, literally, SHORT)
    expected = literal.loss.mean(dim=1)
    torch.testing.assert_close(scored(method, gan, literal.keys)["score"], expected, rtol=1e-3, atol=0)


def test_prior_score_is_half_the_squared_norm_where_the_literal_searches_end(gan, backend):
    method = registry.create("method", "prior", {"starts": 5, "steps": 3, "backend": backend})
    literal = literal_ends(gan.generator, IMAGES, literally, SHORT)
    expected = torch.stack([sum(z @ z / 2 for z in of_image) / 5 for of_image in literal.z])
    torch.testing.assert_close(scored(method, gan, literal.keys)["score"], expected, rtol=1e-3, atol=0)


def test_anogan_score_equals_the_literal_algorithm(gan):
    method = registry.create("method", "anogan", {"steps": 20, "weight": 0.1, "z_lr": 0.02, "block": 2})
    features = copy.deepcopy(gan.discriminator).double().features

    def loss(made: Tensor, image: Tensor) -> Tensor:
        residual = (image - made).abs().sum().view(1)
        return 0.9 * residual + 0.1 * (features(image) - features(made)).abs().sum()

    literal = literal_ends(gan.generator, IMAGES, loss, Settings(1, 20, 0.02, 0.0, *BETAS, 2))
    found = scored(method, gan, literal.keys)
    torch.testing.assert_close(found["score"], literal.loss[:, 0], rtol=1e-3, atol=0)
    torch.testing.assert_close(found["score"], 0.9 * found["residual"] + 0.1 * found["feature"], rtol=1e-6, atol=0)


def test_without_steps_the_loss_is_that_of_the_starts(gan, backend):
    settings = Settings(4, 0, 0.25, 5e-5, *BETAS, 4, backend=backend)
    found = LatentSearch(gan.generator, squared_error, settings).find((IMAGES,), KEYS)
    starts = randomness.starting_points(KEYS, 4, gan.generator.latent)
    made = gan.generator(starts.flatten(0, 1)).unflatten(0, (3, 4))
    expected = (made - IMAGES[:, None]).square().sum(dim=(2, 3, 4))
    torch.testing.assert_close(found.loss, expected, rtol=1e-5, atol=0)
    assert torch.equal(found.z, starts)


def test_search_lowers_the_loss_and_weights_help_it(gan, backend):
    def mean_loss(steps: int, theta_lr: float) -> float:
        settings = Settings(4, steps, 0.25, theta_lr, *BETAS, 4, backend=backend if theta_lr else "auto")
        return LatentSearch(gan.generator, squared_error, settings).find((IMAGES,), KEYS).loss.mean().item()

    assert mean_loss(5, 1e-3) < mean_loss(5, 0.0) < mean_loss(0, 0.0)


def test_starts_depend_on_the_key_alone():
    together = randomness.starting_points(KEYS, 4, 8)
    apart = randomness.starting_points(KEYS[[2]], 4, 8)
    assert torch.equal(together[2], apart[0])
    assert not torch.equal(together[0], together[1])


def test_anogan_stops_where_its_loss_is_lower_than_at_the_start(gan):
    def score(steps: int) -> Tensor:
        params = anogan.Params(steps=steps, z_lr=0.05)
        return scored(anogan.AnoGAN(params), gan)["score"]

    assert (score(50) < score(0)).all()


@pytest.mark.parametrize("steps", [0, 30])
def test_a_search_in_half_precision_ends_near_that_in_full_and_is_read_in_full(gan, steps):
    def found(precision: str) -> dict[str, Tensor]:
        params = anogan.Params(steps=steps, z_lr=0.05, precision=precision)
        return scored(anogan.AnoGAN(params), gan)

    half, full = found("bfloat16"), found("float32")
    if steps == 0:
        torch.testing.assert_close(half, full, rtol=0, atol=0)
    else:
        assert not torch.equal(half["score"], full["score"])
        torch.testing.assert_close(half["score"], full["score"], rtol=0.05, atol=0)


def test_half_precision_is_refused_where_the_weights_move(gan):
    method = registry.create("method", "adgan", {"precision": "bfloat16"})
    with pytest.raises(HeldoutError, match="theta_lr: 0, or precision: float32"):
        method.prepare(gan)


class OfAnotherKind(nn.Module):
    """The same generator, which nothing made for DCGAN's takes as such."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator, self.latent = generator, generator.latent

    def forward(self, z: Tensor) -> Tensor:
        return self.generator(z)


@pytest.mark.parametrize(("update", "read_loss"), UPDATES)
def test_the_joint_search_of_another_generator_equals_the_literal_algorithm(gan, update, read_loss):
    settings = Settings(6, 5, 0.25, 1e-3, *BETAS, 4, update, read_loss)
    assert_literal(gan.generator, OfAnotherKind(gan.generator), settings)


@pytest.fixture(params=["shared weights", "torch", "native", "compiled", "another generator"])
def move(request, gan):
    """Each way to move z: a generator, the factor of the weights' step size, and a backend."""
    if request.param == "shared weights":
        return gan.generator, 0.0, "auto"
    if request.param == "another generator":
        return OfAnotherKind(gan.generator), 1.0, "torch"
    return gan.generator, 1.0, prepared(request.param, request)


@pytest.mark.parametrize(
    ("penalty", "restriction", "bound"), [(5.0, "none", 1), (0, "shell", 1), (0, "clip", 0.5), (2.0, "clip", 1)]
)
def test_a_restricted_search_is_the_literal_one(gan, move, penalty, restriction, bound):
    """Weights that move by 1e-12 stand still, so all ways of searching must agree with one literal search."""
    generator, rate, backend = move
    restricted = {"penalty": penalty, "restriction": restriction, "bound": bound}
    still = Settings(2, 4, 0.25, 0, *BETAS, block=3, **restricted)
    literal = literal_ends(gan.generator, IMAGES, literally, still)
    settings = replace(still, theta_lr=rate * 1e-12, backend=backend)
    found = LatentSearch(generator, squared_error, settings).find((IMAGES,), literal.keys)
    unrestricted = Settings(2, 4, 0.25, 0, *BETAS, block=3)
    free = LatentSearch(gan.generator, squared_error, unrestricted).find((IMAGES,), literal.keys)
    assert ((found.z - free.z).abs().amax(dim=2) > 0.1).all()  # so it makes a difference
    assert ((found.z - literal.z).abs().median(dim=2).values < 1e-5).all()
    torch.testing.assert_close(found.loss, literal.loss, rtol=1e-3, atol=0)


def test_a_search_may_begin_at_the_encoders_code(gan):
    """The first start is the code itself, the others lie around it; without steps the loss tells where they are."""
    model = nn.Module()
    model.generator = gan.generator
    model.encoder = nn.Sequential(nn.Flatten(), nn.Linear(32 * 32, gan.generator.latent)).requires_grad_(False)
    params = adgan.Params(begin="encoder", noise=0.5, starts=3, steps=0, block=4)
    code = model.encoder(IMAGES)
    noise_of_starts = 0.5 * randomness.starting_points(KEYS, 3, gan.generator.latent)
    starts = [code, code + noise_of_starts[:, 1], code + noise_of_starts[:, 2]]
    expected = sum((gan.generator(z) - IMAGES).square().flatten(1).sum(1) for z in starts) / 3
    torch.testing.assert_close(scored(adgan.ADGAN(params), model)["score"], expected, rtol=1e-4, atol=0)


def test_the_laplacian_loss_can_be_searched_with_private_weights(gan):
    params = adgan.Params(loss="laplacian_pyramid", starts=2, steps=2, block=4)
    literal = literal_ends(gan.generator, IMAGES, laplacian_distance, Settings(2, 2, 0.25, 5e-5, *BETAS, 4))
    score = scored(adgan.ADGAN(params), gan, literal.keys)["score"]
    torch.testing.assert_close(score, literal.loss.mean(dim=1), rtol=1e-3, atol=0)


@pytest.mark.parametrize("restriction", ["none", "shell"])
def test_the_path_is_where_shorter_searches_end_and_costs_no_bit(gan, move, restriction):
    generator, rate, backend = move

    def search(steps: int, with_path: bool = False):
        rates = (0.25, rate * 1e-3)
        settings = Settings(3, steps, *rates, *BETAS, block=4, restriction=restriction, backend=backend)
        return LatentSearch(generator, squared_error, settings).find((IMAGES,), KEYS, with_path=with_path)

    plain, recorded = search(4), search(4, with_path=True)
    assert plain.path is None and recorded.path.shape == (3, 3, 5, gan.generator.latent)
    for name in ("z", "loss", "made"):
        assert torch.equal(getattr(plain, name), getattr(recorded, name))
    for steps in range(5):
        assert torch.equal(recorded.path[:, :, steps], search(steps).z)
