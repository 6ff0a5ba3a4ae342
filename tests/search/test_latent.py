"""The search against a literal one: an image, a starting point and a step at a time, Adam written out."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from heldout import registry
from heldout.errors import HeldoutError
from heldout.methods import adgan, anogan
from heldout.networks.shape import ImageShape
from heldout.numerics import randomness
from heldout.numerics.pixels import to_unit_range
from heldout.search.laplacian import laplacian_distance
from heldout.search.latent import Settings, latent_search
from tests.conftest import noise, prepared, trained

IMAGE = ImageShape(1, 32)
IMAGES = to_unit_range(noise(3, 1, 32))
KEYS = randomness.image_keys(0, range(3))
BETAS = (0.5, 0.999)


@pytest.fixture(scope="module")
def gan() -> nn.Module:
    return trained("dcgan", IMAGE, width=16, latent=32, batch=16, steps=60).eval().requires_grad_(False)


class LiteralAdam:
    """Kingma and Ba, ICLR 2015, Algorithm 1."""

    def __init__(self, tensor: Tensor, rate: float) -> None:
        self.tensor, self.rate, self.t = tensor, rate, 0
        self.m, self.v = torch.zeros_like(tensor), torch.zeros_like(tensor)

    def step(self, gradient: Tensor) -> None:
        self.t += 1
        self.m = BETAS[0] * self.m + (1 - BETAS[0]) * gradient
        self.v = BETAS[1] * self.v + (1 - BETAS[1]) * gradient**2
        m_hat, v_hat = self.m / (1 - BETAS[0] ** self.t), self.v / (1 - BETAS[1] ** self.t)
        self.tensor.data -= self.rate * m_hat / (v_hat.sqrt() + 1e-8)


def literal_search(generator, image, z, loss, steps, z_lr, theta_lr, update="together", read_loss="after_last_step"):
    """ADGAN's Algorithm 1 for one starting point; returns the final z and loss."""
    generator = copy.deepcopy(generator)
    z = z.clone().requires_grad_()
    theta = [weight.requires_grad_() for weight in generator.parameters()]
    adam_z, adam_theta = LiteralAdam(z, z_lr), [LiteralAdam(weight, theta_lr) for weight in theta]

    def gradients() -> tuple[Tensor, Tensor, list[Tensor]]:
        value = loss(generator(z[None]), image[None])[0]
        by_z, *by_theta = torch.autograd.grad(value, [z, *theta])
        return value.detach(), by_z, by_theta

    for _ in range(steps):
        seen, by_z, by_theta = gradients()
        adam_z.step(by_z)
        if update == "in_turn":
            _, _, by_theta = gradients()
        if theta_lr:
            for adam, gradient in zip(adam_theta, by_theta, strict=True):
                adam.step(gradient)
    after = loss(generator(z[None]), image[None])[0].detach()
    return z.detach(), (after if read_loss == "after_last_step" else seen)


UPDATES = [("together", "after_last_step"), ("in_turn", "at_last_step")]


@pytest.mark.parametrize(("update", "read_loss"), UPDATES)
def test_search_of_z_equals_the_literal_algorithm(gan, update, read_loss):
    assert_literal(gan, Settings(6, 5, 0.25, 0.0, *BETAS, 4, update, read_loss))


@pytest.mark.parametrize("theta_lr", [5e-5, 1e-3])
@pytest.mark.parametrize(("update", "read_loss"), UPDATES)
def test_joint_search_equals_the_literal_algorithm(gan, theta_lr, update, read_loss, backend):
    assert_literal(gan, Settings(6, 5, 0.25, theta_lr, *BETAS, 4, update, read_loss, backend=backend))


def assert_literal(gan: nn.Module, settings: Settings) -> None:
    found = latent_search(gan.generator, (IMAGES,), KEYS, adgan.squared_error, settings)
    starts = randomness.starting_points(KEYS, 6, gan.generator.latent)
    literal = [
        [
            literal_search(
                gan.generator,
                image,
                z,
                adgan.squared_error,
                settings.steps,
                settings.z_lr,
                settings.theta_lr,
                settings.update,
                settings.read_loss,
            )[1]
            for z in starts[number]
        ]
        for number, image in enumerate(IMAGES)
    ]
    literal = torch.tensor(literal)  # (images, starts)
    errors = (found.loss - literal).abs() / literal
    assert errors.median() <= 1e-6  # Adam's first step is sign-like, so single starts may part
    score, expected = found.loss.mean(dim=1), literal.mean(dim=1)
    assert ((score - expected).abs() / expected).max() <= 1e-3


def test_adgan_score_is_the_mean_of_the_literal_searches(gan, backend):
    method = registry.create("method", "adgan", {"starts": 5, "steps": 3, "backend": backend})
    starts = randomness.starting_points(KEYS, 5, gan.generator.latent)
    expected = [
        sum(literal_search(gan.generator, image, z, adgan.squared_error, 3, 0.25, 5e-5)[1] for z in starts[number]) / 5
        for number, image in enumerate(IMAGES)
    ]
    torch.testing.assert_close(method.score(gan, IMAGES, KEYS)["score"], torch.stack(expected), rtol=1e-3, atol=0)


def test_prior_score_is_half_the_squared_norm_where_the_literal_searches_end(gan, backend):
    method = registry.create("method", "prior", {"starts": 5, "steps": 3, "backend": backend})
    starts = randomness.starting_points(KEYS, 5, gan.generator.latent)
    ends = [
        [literal_search(gan.generator, image, z, adgan.squared_error, 3, 0.25, 5e-5)[0] for z in starts[number]]
        for number, image in enumerate(IMAGES)
    ]
    expected = torch.stack([sum(z @ z / 2 for z in of_image) / 5 for of_image in ends])
    torch.testing.assert_close(method.score(gan, IMAGES, KEYS)["score"], expected, rtol=1e-3, atol=0)


def test_anogan_score_equals_the_literal_algorithm(gan):
    method = registry.create("method", "anogan", {"steps": 20, "weight": 0.1, "z_lr": 0.02, "block": 2})
    starts = randomness.starting_points(KEYS, 1, gan.generator.latent)
    features = gan.discriminator.features

    def loss(made: Tensor, image: Tensor) -> Tensor:
        residual = (image - made).abs().sum().view(1)
        return 0.9 * residual + 0.1 * (features(image) - features(made)).abs().sum()

    found = method.score(gan, IMAGES, KEYS)
    expected = [
        literal_search(gan.generator, image, starts[number, 0], loss, 20, 0.02, 0.0)[1]
        for number, image in enumerate(IMAGES)
    ]
    torch.testing.assert_close(found["score"], torch.cat([value.view(1) for value in expected]), rtol=1e-3, atol=0)
    torch.testing.assert_close(found["score"], 0.9 * found["residual"] + 0.1 * found["feature"], rtol=1e-6, atol=0)


def test_without_steps_the_loss_is_that_of_the_starts(gan, backend):
    settings = Settings(4, 0, 0.25, 5e-5, *BETAS, 4, backend=backend)
    found = latent_search(gan.generator, (IMAGES,), KEYS, adgan.squared_error, settings)
    starts = randomness.starting_points(KEYS, 4, gan.generator.latent)
    made = gan.generator(starts.flatten(0, 1)).unflatten(0, (3, 4))
    expected = (made - IMAGES[:, None]).square().sum(dim=(2, 3, 4))
    torch.testing.assert_close(found.loss, expected, rtol=1e-5, atol=0)
    assert torch.equal(found.z, starts)


def test_search_lowers_the_loss_and_weights_help_it(gan, backend):
    def mean_loss(steps: int, theta_lr: float) -> float:
        settings = Settings(4, steps, 0.25, theta_lr, *BETAS, 4, backend=backend if theta_lr else "auto")
        return latent_search(gan.generator, (IMAGES,), KEYS, adgan.squared_error, settings).loss.mean().item()

    assert mean_loss(5, 1e-3) < mean_loss(5, 0.0) < mean_loss(0, 0.0)


def test_starts_depend_on_the_key_alone():
    together = randomness.starting_points(KEYS, 4, 8)
    apart = randomness.starting_points(KEYS[[2]], 4, 8)
    assert torch.equal(together[2], apart[0])
    assert not torch.equal(together[0], together[1])


def test_anogan_stops_where_its_loss_is_lower_than_at_the_start(gan):
    def score(steps: int) -> Tensor:
        params = anogan.Params(steps=steps, z_lr=0.05)
        return anogan.AnoGAN(params).score(gan, IMAGES, KEYS)["score"]

    assert (score(50) < score(0)).all()


@pytest.mark.parametrize("steps", [0, 30])
def test_a_search_in_half_precision_ends_near_that_in_full_and_is_read_in_full(gan, steps):
    def found(precision: str) -> dict[str, Tensor]:
        params = anogan.Params(steps=steps, z_lr=0.05, precision=precision)
        return anogan.AnoGAN(params).score(gan, IMAGES, KEYS)

    half, full = found("bfloat16"), found("float32")
    if steps == 0:
        torch.testing.assert_close(half, full, rtol=0, atol=0)
    else:
        assert not torch.equal(half["score"], full["score"])
        torch.testing.assert_close(half["score"], full["score"], rtol=0.05, atol=0)


def test_half_precision_is_refused_where_the_weights_move(gan):
    method = registry.create("method", "adgan", {"precision": "bfloat16"})
    with pytest.raises(HeldoutError, match="theta_lr: 0, or precision: float32"):
        method.score(gan, IMAGES, KEYS)


def literal_restricted_search(generator, image, z, steps, z_lr, penalty, restriction, bound):
    """z alone, with the penalty in what is lowered, and z put back after every step."""

    def put_back(z):
        if restriction == "clip":
            return z.clip(-bound, bound)
        return z / z.square().sum().sqrt() * len(z) ** 0.5 if restriction == "shell" else z

    z = put_back(z).clone().requires_grad_()
    adam = LiteralAdam(z, z_lr)
    for _ in range(steps):
        lowered = adgan.squared_error(generator(z[None]), image[None])[0] + penalty * (z @ z) / 2
        adam.step(*torch.autograd.grad(lowered, z))
        z.data = put_back(z.data)
    return z.detach(), adgan.squared_error(generator(z[None]), image[None])[0].detach()


class OfAnotherKind(nn.Module):
    """The same generator, which nothing made for DCGAN's takes as such."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator, self.latent = generator, generator.latent

    def forward(self, z: Tensor) -> Tensor:
        return self.generator(z)


@pytest.mark.parametrize(("update", "read_loss"), UPDATES)
def test_the_joint_search_of_another_generator_equals_the_literal_algorithm(gan, update, read_loss):
    other = SimpleNamespace(generator=OfAnotherKind(gan.generator))
    assert_literal(other, Settings(6, 5, 0.25, 1e-3, *BETAS, 4, update, read_loss))


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
    settings = Settings(2, 4, 0.25, rate * 1e-12, *BETAS, block=3, **restricted, backend=backend)
    found = latent_search(generator, (IMAGES,), KEYS, adgan.squared_error, settings)
    free = latent_search(gan.generator, (IMAGES,), KEYS, adgan.squared_error, Settings(2, 4, 0.25, 0, *BETAS, block=3))
    starts = randomness.starting_points(KEYS, 2, gan.generator.latent)
    for image in range(3):
        for start in range(2):
            z, loss = literal_restricted_search(
                gan.generator, IMAGES[image], starts[image, start], 4, 0.25, penalty, restriction, bound
            )
            assert (found.z[image, start] - free.z[image, start]).abs().max() > 0.1  # so it makes a difference
            assert (found.z[image, start] - z).abs().median() < 1e-5
            torch.testing.assert_close(found.loss[image, start], loss, rtol=1e-3, atol=0)


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
    torch.testing.assert_close(adgan.ADGAN(params).score(model, IMAGES, KEYS)["score"], expected, rtol=1e-4, atol=0)


def test_the_laplacian_loss_can_be_searched_with_private_weights(gan):
    params = adgan.Params(loss="laplacian_pyramid", starts=2, steps=2, block=4)
    z = randomness.starting_points(KEYS, 2, gan.generator.latent)
    score = adgan.ADGAN(params).score(gan, IMAGES, KEYS)["score"]
    expected = [
        torch.stack(
            [literal_search(gan.generator, IMAGES[i], z[i, j], laplacian_distance, 2, 0.25, 5e-5)[1] for j in range(2)]
        ).mean()
        for i in range(3)
    ]
    torch.testing.assert_close(score, torch.stack(expected), rtol=1e-3, atol=0)


@pytest.mark.parametrize("restriction", ["none", "shell"])
def test_the_path_is_where_shorter_searches_end_and_costs_no_bit(gan, move, restriction):
    generator, rate, backend = move

    def search(steps: int, with_path: bool = False):
        rates = (0.25, rate * 1e-3)
        settings = Settings(3, steps, *rates, *BETAS, block=4, restriction=restriction, backend=backend)
        return latent_search(generator, (IMAGES,), KEYS, adgan.squared_error, settings, with_path=with_path)

    plain, recorded = search(4), search(4, with_path=True)
    assert plain.path is None and recorded.path.shape == (3, 3, 5, gan.generator.latent)
    for name in ("z", "loss", "made"):
        assert torch.equal(getattr(plain, name), getattr(recorded, name))
    for steps in range(5):
        assert torch.equal(recorded.path[:, :, steps], search(steps).z)
