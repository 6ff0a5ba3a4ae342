"""Backends of the joint search against a literal one; of the native one, what moves no bit and where it cannot run."""

import functools
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from heldout.errors import HeldoutError
from heldout.networks.dcgan import Generator, initialise
from heldout.networks.shape import ImageShape
from heldout.numerics import randomness
from heldout.numerics.pixels import to_unit_range
from heldout.search.laplacian import laplacian_distance
from heldout.search.latent import Found, LatentSearch, Loss, Settings, mean_squared_error, squared_error
from heldout.search.native import compiling, joint_search
from tests.conftest import noise
from tests.search import literal
from tests.search.literal import literal_ends, literal_search

SETTINGS = Settings(starts=3, steps=4, z_lr=0.25, theta_lr=1e-3, beta1=0.5, beta2=0.999, block=4)
LITERAL_LOSSES = {
    squared_error: literal.squared_error,
    mean_squared_error: lambda made, images: (made - images).square().flatten(1).mean(1),
}


def generator_of(latent: int, width: int, image: ImageShape) -> Generator:
    """A generator whose statistics, gains and shifts are all different, and whose images are far from grey."""
    rng = torch.Generator().manual_seed(0)
    generator = initialise(Generator(latent, width, image), rng)
    for layer in generator.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1, generator=rng)
            layer.running_var.uniform_(0.5, 2, generator=rng)
            layer.weight.data.normal_(1, 0.2, generator=rng)
            layer.bias.data.normal_(0, 0.2, generator=rng)
        elif isinstance(layer, nn.Linear | nn.ConvTranspose2d):
            layer.weight.data *= 4
    return generator.eval().requires_grad_(False)


@functools.cache
def case(channels: int, side: int, width: int, latent: int) -> tuple[Generator, Tensor]:
    """Return a generator and two images to compare backends on; not to be changed."""
    return generator_of(latent, width, ImageShape(channels, side)), to_unit_range(noise(2, channels, side))


def search(
    generator: nn.Module, images: Tensor, numbers: list[int], loss: Loss = squared_error, **settings: object
) -> Found:
    prepared = LatentSearch(generator, loss, replace(SETTINGS, **settings))
    return prepared.find((images[numbers],), randomness.image_keys(0, numbers), with_path=True)


@pytest.mark.parametrize(
    ("channels", "side", "width", "latent"),
    [
        (1, 8, 5, 6),  # no convolution between hidden maps
        (1, 16, 20, 100),  # an odd number of vectors
        (3, 16, 32, 16),  # an even one
        (1, 32, 4, 10),
        (3, 32, 12, 33),
        (1, 64, 8, 3),
        (3, 64, 4, 20),
    ],
)
@pytest.mark.parametrize("loss", [squared_error, mean_squared_error])
def test_every_backend_equals_the_literal_algorithm(backend, channels, side, width, latent, loss):
    generator, images = case(channels, side, width, latent)
    literal = literal_ends(generator, images, LITERAL_LOSSES[loss], SETTINGS)
    still = [
        literal_search(generator, images[0], z, LITERAL_LOSSES[loss], replace(SETTINGS, theta_lr=0))[1]
        for z in literal.starts[0]
    ]
    moved = (literal.loss[0] - torch.stack(still)).abs() / torch.stack(still)
    assert moved.min() > 1e-4  # so that the weights' moves would be missed
    found = LatentSearch(generator, loss, replace(SETTINGS, backend=backend)).find((images,), literal.keys)
    errors = (found.loss - literal.loss).abs() / literal.loss
    assert errors.median() <= 1e-6
    assert ((found.loss.mean(1) - literal.loss.mean(1)).abs() / literal.loss.mean(1)).max() <= 1e-3
    assert (found.z - literal.z).abs().median() < 1e-5
    torch.testing.assert_close(loss(found.made[0], images[:1]), found.loss[0], rtol=1e-5, atol=0)


def test_every_parameter_moves_as_adams_first_step_says(backend):
    """Which is by theta_lr g / (|g| + 1e-8); leaving out any one parameter would show in the image."""
    generator = generator_of(6, 4, ImageShape(1, 16))
    image = to_unit_range(noise(1, 1, 16))
    settings = replace(SETTINGS, starts=1, steps=1, z_lr=1e-12, theta_lr=1e-2, backend=backend)
    literal = literal_ends(generator, image, LITERAL_LOSSES[squared_error], settings)
    begin = literal.starts[0]
    found = LatentSearch(generator, squared_error, settings).find((image,), literal.keys)
    weights = {name: weight.clone().requires_grad_() for name, weight in generator.named_parameters()}
    loss = squared_error(functional_call(generator, weights, (begin,)), image)[0]
    gradients = torch.autograd.grad(loss, list(weights.values()))
    moved = {
        name: (weight - 1e-2 * gradient / (gradient.abs() + 1e-8)).detach()
        for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
    }
    error = (functional_call(generator, moved, (begin,)) - found.made[0]).abs().max()
    assert len(moved) == 7 and error < 1e-5
    for name in moved:
        held = moved | {name: weights[name].detach()}
        assert (functional_call(generator, held, (begin,)) - found.made[0]).abs().max() > 1e-4, name


@pytest.mark.parametrize("update", ["together", "in_turn"])
def test_a_result_depends_on_nothing_else_in_the_call(compiler, update):
    generator = generator_of(10, 12, ImageShape(3, 32))
    images = to_unit_range(noise(6, 3, 32))
    before = torch.get_num_threads()
    together = search(generator, images, list(range(6)), update=update, backend="native")
    try:
        for threads, numbers in ((1, [3]), (2, [5, 0, 2, 4, 1, 3]), (3, [1, 1]), (2, [0, 1, 2, 3, 4, 5])):
            torch.set_num_threads(threads)
            apart = search(generator, images, numbers, update=update, backend="native")
            for name in ("z", "loss", "made", "path"):
                assert torch.equal(getattr(apart, name), getattr(together, name)[numbers])
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("machine", ["x86-64", "x86-64-v3"])
@pytest.mark.parametrize(("channels", "side", "width"), [(1, 16, 12), (3, 32, 8)])
def test_the_tiles_of_every_instruction_set_find_the_same(compiler, machine, channels, side, width):
    """Vectors of 4 and of 8 numbers, whatever this machine's own are."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.is_file() or not {"avx2", "fma", "bmi2"} <= set(cpuinfo.read_text(encoding="utf-8").split()):
        pytest.skip("this processor does not run x86-64-v3")
    generator, images = case(channels, side, width, 10)
    literal = literal_ends(generator, images, LITERAL_LOSSES[squared_error], SETTINGS)
    _, loss, _, _ = joint_search.search(generator, images, literal.starts, SETTINGS, mean=False, machine=machine)
    assert ((loss - literal.loss).abs() / literal.loss).median() <= 1e-6


@pytest.fixture
def without_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    compiling._tried.cache_clear()
    yield
    compiling._tried.cache_clear()


@pytest.mark.parametrize("layer", [0, 4])
def test_what_is_not_finite_is_not_hidden(backend, layer):
    generator = generator_of(6, 8, ImageShape(1, 16))
    generator.blocks[layer].weight.data[0] = float("nan")
    found = search(generator, to_unit_range(noise(2, 1, 16)), [0, 1], backend=backend)
    assert found.loss.isnan().all()


def test_without_a_compiler_pytorch_searches_and_says_why(without_compiler):
    generator = generator_of(6, 4, ImageShape(1, 16))
    images = to_unit_range(noise(2, 1, 16))
    prepared = LatentSearch(generator, squared_error, SETTINGS)
    assert prepared.backend == "torch" and "there is no C++ compiler 'no-such-compiler'" in prepared.why
    expected = search(generator, images, [0, 1], backend="torch")
    assert torch.equal(search(generator, images, [0, 1]).loss, expected.loss)


def test_without_a_compiler_native_is_an_error_of_one_line(without_compiler):
    generator = generator_of(6, 4, ImageShape(1, 16))
    with pytest.raises(HeldoutError, match="^backend: native cannot run here: there is no C.. compiler") as error:
        search(generator, to_unit_range(noise(1, 1, 16)), [0], backend="native")
    assert "\n" not in str(error.value)


class OtherGenerator(nn.Module):
    latent = 6

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 256)

    def forward(self, z: Tensor) -> Tensor:
        return self.layer(z).view(-1, 1, 16, 16)


@pytest.mark.parametrize(
    ("generator", "loss", "settings", "why"),
    [
        (OtherGenerator(), squared_error, {}, "the generator is not a plain DCGAN"),
        (generator_of(6, 4, ImageShape(1, 16)), laplacian_distance, {}, "the loss is not the squared error"),
        (generator_of(6, 4, ImageShape(1, 16)), squared_error, {"theta_lr": 0.0}, "it needs theta_lr > 0"),
        (generator_of(6, 4, ImageShape(1, 16)).double(), squared_error, {}, "not float32"),
    ],
    ids=["generator", "loss", "theta_lr", "dtype"],
)
def test_what_the_kernel_cannot_do_is_named(generator, loss, settings, why):
    with pytest.raises(HeldoutError, match=why):
        search(generator, to_unit_range(noise(1, 1, 16)), [0], loss, backend="native", **settings)


def test_auto_takes_the_kernel_and_has_nothing_to_say(compiler):
    generator = generator_of(6, 4, ImageShape(1, 16))
    prepared = LatentSearch(generator, squared_error, SETTINGS)
    assert (prepared.backend, prepared.why) == ("native", "")
    images = to_unit_range(noise(1, 1, 16))
    by_default, asked_for = (search(generator, images, [0], backend=by) for by in ("auto", "native"))
    assert torch.equal(by_default.made, asked_for.made)
