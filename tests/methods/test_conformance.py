"""What every registered method promises. A new file in methods/ is tested here without an edit."""

import functools

import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from heldout import registry
from heldout.methods import Known, Method
from heldout.networks.shape import ImageShape
from heldout.numerics import randomness, scoring_steps
from heldout.numerics.pixels import to_unit_range
from heldout.planning import schema
from heldout.storage import checkpoints
from tests.conftest import noise, prepared, record, train_spec, trained

SHAPES = [ImageShape(1, 16), ImageShape(3, 32)]
COUNT = 24


@functools.cache
def read_by(name: str, image: ImageShape):
    """What a method reads: a model after two training steps, or training images."""
    entry = registry.load("method", name)
    if entry.facts["reads"] == ["images"]:
        return Known(to_unit_range(noise(20, image.channels, image.side)), seed=0)
    return scoring_steps.ready(trained(entry.facts["default_model"], image))


def create(name: str) -> Method:
    return registry.create("method", name, registry.small("method", name))


def prepared_by(method: Method, read: Known | nn.Module):
    return method.fit(read) if isinstance(read, Known) else method.prepare(read)


def scored(name: str, image: ImageShape, chosen: list[int], at_a_time: int = COUNT) -> dict[str, torch.Tensor]:
    images = to_unit_range(noise(COUNT, image.channels, image.side, seed=1))[chosen]
    keys = randomness.image_keys(0, range(COUNT))[chosen]
    method = create(name)
    prepared = prepared_by(method, read_by(name, image))
    parts = [
        scoring_steps.score_images(method, prepared, *part)
        for part in zip(images.split(at_a_time), keys.split(at_a_time), strict=True)
    ]
    return {key: torch.cat([part[key] for part in parts]) for key in parts[0]}


def backends_of(name: str) -> list[str]:
    """What a method is tested with: its own choice, and what that might be elsewhere: PyTorch, compiled or not."""
    is_joint = registry.load("method", name).facts["cost_class"] == "joint search"
    return ["auto", "torch", "compiled"] if is_joint else ["auto"]


@pytest.fixture(
    params=[(name, backend) for name in registry.names("method") for backend in backends_of(name)],
    ids=lambda param: "-".join(param).removesuffix("-auto"),
)
def name(request, monkeypatch):
    name, backend = request.param
    if backend == "compiled":
        prepared(backend, request)
        monkeypatch.setattr("heldout.search.latent._by_default", lambda device: backend)
    elif backend != "auto":
        small = registry.small("method", name) | {"backend": backend}
        monkeypatch.setitem(registry.load("method", name).facts, "small", small)
    return name


@pytest.fixture(params=SHAPES, ids=lambda shape: f"{shape.channels}x{shape.side}px")
def image(request):
    return request.param


def test_an_image_gets_one_finite_score(name, image):
    for values in scored(name, image, list(range(COUNT))).values():
        assert values.shape == (COUNT,) and values.isfinite().all()
    assert len(scored(name, image, list(range(COUNT)))["score"].unique()) > 1


def test_score_of_an_image_ignores_its_neighbours_and_the_batch(name, image):
    together = scored(name, image, list(range(COUNT)))
    shuffled = torch.randperm(COUNT, generator=torch.Generator().manual_seed(3)).tolist()
    for chosen, at_a_time in ((shuffled, COUNT), (list(range(COUNT)), 7), ([5, 23, 0], 1), ([4, 4], 2)):
        apart = scored(name, image, chosen, at_a_time)
        for key, values in together.items():
            # Exact by construction (blocks of fixed size): Adam's sign-like first step would amplify any rounding.
            assert_close(apart[key], values[chosen], rtol=0, atol=0)


def test_scoring_leaves_the_model_as_it_was(name, image):
    model = read_by(name, image)
    if not isinstance(model, torch.nn.Module):
        pytest.skip("it reads no model")
    before = {key: weight.clone() for key, weight in model.state_dict().items()}
    scored(name, image, list(range(5)))
    assert_close(dict(model.state_dict()), before, rtol=0, atol=0)


def test_scoring_draws_from_no_global_generator(name, image):
    torch.manual_seed(1)
    first = scored(name, image, [0, 1, 2])
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second = scored(name, image, [0, 1, 2])
    assert_close(first, second, rtol=0, atol=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_fitting_twice_gives_the_same_scores(name, image):
    if not isinstance(read_by(name, image), Known):
        pytest.skip("it reads a model")
    torch.manual_seed(1)
    first = scored(name, image, list(range(COUNT)))
    torch.manual_seed(2)
    np.random.seed(3)
    assert_close(first, scored(name, image, list(range(COUNT))), rtol=0, atol=0)


class Ideal(torch.nn.Module):
    """Has every part that a method may read, and knows its normal images: near a grey one, moved linearly by z.

    The generator's z is bounded to [-3, 3], so what lies far out has no z; the encoder is the generator's inverse.
    """

    def __init__(self, image: ImageShape, latent: int = 6) -> None:
        super().__init__()
        pixels = image.channels * image.side**2
        directions = torch.randn(latent, pixels, generator=torch.Generator().manual_seed(0)) * 0.01
        self.generator = torch.nn.Sequential(
            torch.nn.Hardtanh(-3, 3),
            torch.nn.Linear(latent, pixels, bias=False),
            torch.nn.Unflatten(1, (image.channels, image.side, image.side)),
        )
        self.generator[1].weight.data = directions.T.contiguous()
        self.encoder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(pixels, latent, bias=False))
        self.encoder[1].weight.data = torch.linalg.pinv(directions.T)
        self.generator.latent = self.encoder.latent = latent
        self.discriminator, self.joint_discriminator = self.Discriminator(), self.JointDiscriminator()
        self.decoder, self.second_encoder, self.embedding = self.generator, self.encoder, self.encoder
        self.conditional_generator = self.ConditionalGenerator(self.generator)
        self.register_buffer("centre", torch.zeros(latent))
        self.register_buffer("latent_range", torch.zeros(3, 2))

    def autoencoder(self, images: torch.Tensor) -> torch.Tensor:
        return self.generator(self.encoder(images))

    def posterior(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean = self.encoder(images)  # the further out, the less sure
        return mean, mean.square().mean(dim=1, keepdim=True).log1p().expand_as(mean) - 8

    def log_likelihood(self, images: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        return -(images - self.generator(z)).square().flatten(1).sum(1)

    class Discriminator(torch.nn.Module):
        def features(self, images: torch.Tensor) -> torch.Tensor:
            return images

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return -images.square().flatten(1).sum(1)

    class JointDiscriminator(torch.nn.Module):
        def features(self, images: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
            return torch.cat([images.flatten(1), z], dim=1)

        def forward(self, images: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
            return -self.features(images, z).square().sum(1)

    class ConditionalGenerator(torch.nn.Module):
        classes = 2

        def __init__(self, generator: torch.nn.Module) -> None:
            super().__init__()
            self.generator, self.latent = generator, generator.latent

        def forward(self, z: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
            return self.generator(z)


def test_higher_means_more_anomalous(name, image):
    """Against a model that is as good as can be: far images score above near ones, whatever the method."""
    entry = registry.load("method", name)
    longer = {name: value for name, value in {"steps": 5, "trees": 100}.items() if name in entry.params.model_fields}
    method = registry.create("method", name, registry.small("method", name) | longer)
    ideal = Ideal(image).eval().requires_grad_(False)
    z = torch.randn(24, 6, generator=torch.Generator().manual_seed(1)) * 0.3
    near = ideal.generator(z)
    far = near[:8] * 40
    read = Known(near[8:], seed=0) if entry.facts["reads"] == ["images"] else ideal
    keys = randomness.image_keys(0, range(16))
    found = scoring_steps.score_images(method, prepared_by(method, read), torch.cat([near[:8], far]), keys)["score"]
    assert (found[8:, None] > found[None, :8]).float().mean() > 0.9  # a few cuts of a forest may miss a direction


def test_a_saved_and_loaded_model_gives_the_same_scores(name, image, tmp_path):
    model = read_by(name, image)
    if not isinstance(model, torch.nn.Module):
        pytest.skip("it reads no model")
    default = registry.load("method", name).facts["default_model"]
    path = tmp_path / "model.safetensors"
    spec = train_spec(default)
    checkpoints.write(path, spec, model.state_dict())
    record(path, spec.content)
    other = trained(default, image, seed=1).eval().requires_grad_(False)
    checkpoints.restore(other, checkpoints.load(path, spec.digest), path)
    images = to_unit_range(noise(5, image.channels, image.side, seed=1))
    keys, method = randomness.image_keys(0, range(5)), create(name)
    first, again = (scoring_steps.score_images(method, method.prepare(each), images, keys) for each in (model, other))
    assert_close(again, first, rtol=0, atol=0)


def test_a_method_is_documented_for_the_command_line(name):
    facts = schema.plugins("method")[name]
    assert facts["summary"].endswith(".") and facts["paper"] and facts["cost"]
    assert all("description" in rule for rule in schema.parameters("method", name).values())


def test_a_method_gives_the_components_that_it_is_registered_with(name, image):
    assert list(scored(name, image, [0, 1])) == ["score", *schema.plugins("method")[name]["components"]]


@pytest.mark.parametrize(
    ("name", "variant"),
    [
        ("adgan", {"loss": "laplacian_pyramid", "restriction": "shell", "penalty": 0.1}),
        ("anogan", {"restriction": "clip", "bound": 0.5}),
        ("egbad", {"discrimination": "cross_entropy", "reduction": "mean"}),
        ("ganomaly", {"distance": "l2", "error": "contextual"}),
        ("kde", {"pca": 20}),
        ("kde", {"centres": 12}),
        ("ocsvm", {"solver": "nystroem", "landmarks": 15}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())),
)
def test_a_variants_score_ignores_the_batch_as_well(name, variant, image, monkeypatch):
    small = registry.small("method", name) | variant
    monkeypatch.setattr("tests.methods.test_conformance.create", lambda name: registry.create("method", name, small))
    together = scored(name, image, list(range(20)))["score"]
    for chosen, at_a_time in (([7, 3, 19, 0], 3), ([5], 1)):
        assert_close(scored(name, image, chosen, at_a_time)["score"], together[chosen], rtol=0, atol=0)
