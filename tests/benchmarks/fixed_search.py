"""The search for z alone: AnoGAN, and ADGAN with its weights fixed, against a loop over images and starts.

The naive loop is what the papers say: one starting point at a time, every weight asking for its gradient, as a network
that comes from its training does.
"""

import copy

import torch
from torch import Tensor, nn

from heldout.methods import Method
from heldout.methods.adgan import ADGAN
from heldout.methods.adgan import Params as ADGANParams
from heldout.methods.anogan import AnoGAN
from heldout.methods.anogan import Params as AnoGANParams
from heldout.numerics import randomness
from heldout.numerics.scoring_steps import score_images
from tests.benchmarks._measuring import Row, checked, in_turn
from tests.benchmarks._networks import built, near

STEPS = 100  # of AnoGAN, whose 500 take five times as long
NAIVELY = 2  # images that AnoGAN's naive loop is timed on
AT_ONCE = 256
PRECISIONS = ("float32", "bfloat16")


def measure(rounds: int) -> list[Row]:
    model = built("dcgan")
    given = near(model.generator, AT_ONCE)
    keys = randomness.image_keys(0, range(AT_ONCE))
    as_trained = copy.deepcopy(model).requires_grad_(True).to(memory_format=torch.contiguous_format)
    return [*_anogan(model, as_trained, given, keys, rounds), *_adgan(model, as_trained, given[:8], keys[:8], rounds)]


def _anogan(model: nn.Module, as_trained: nn.Module, given: Tensor, keys: Tensor, rounds: int) -> list[Row]:
    methods = {
        precision: AnoGAN(AnoGANParams(steps=STEPS, block=AT_ONCE, precision=precision)) for precision in PRECISIONS
    }
    starts = randomness.starting_points(keys, 1, model.generator.latent)

    def naive() -> Tensor:
        return torch.stack([_anogan_naively(as_trained, given[[i]], starts[i], STEPS) for i in range(NAIVELY)])

    seconds = in_turn(
        {
            "naive": (naive, NAIVELY),
            "float32": (lambda: _scored(methods["float32"], model, given, keys), AT_ONCE),
            "bfloat16": (lambda: _scored(methods["bfloat16"], model, given, keys), AT_ONCE),
        },
        rounds,
    )
    # A few steps: after hundreds of them, rounding alone leads a search elsewhere.
    short, halved = (AnoGAN(AnoGANParams(steps=5, block=AT_ONCE, precision=each)) for each in PRECISIONS)
    expected = torch.stack([_anogan_naively(as_trained, given[[i]], starts[i], 5) for i in range(8)])
    together = _scored(short, model, given, keys)
    assert torch.equal(_scored(short, model, given[3:4], keys[3:4]), together[3:4])
    errors = checked(together[:8], expected)
    half = _error_of_half(_scored(halved, model, given, keys)[:8], expected)
    what = f"AnoGAN, {STEPS} steps"
    return [
        Row(what, "naive", "float32", "image", 10, seconds, errors),
        Row(what, "naive", "bfloat16", "image", None, seconds, half),
    ]


def _adgan(model: nn.Module, as_trained: nn.Module, given: Tensor, keys: Tensor, rounds: int) -> list[Row]:
    methods = {
        precision: ADGAN(ADGANParams(theta_lr=0, block=AT_ONCE, precision=precision)) for precision in PRECISIONS
    }
    params = methods["float32"].params
    starts = randomness.starting_points(keys, params.starts, model.generator.latent)

    def naive() -> Tensor:
        return torch.stack([_adgan_naively(as_trained, given[[0]], start, params) for start in starts[0]])

    seconds = in_turn(
        {
            "naive": (naive, 1),
            "float32": (lambda: _scored(methods["float32"], model, given, keys), len(given)),
            "bfloat16": (lambda: _scored(methods["bfloat16"], model, given, keys), len(given)),
        },
        rounds,
    )
    found = _losses(methods["float32"], model, given, keys)
    assert torch.equal(_losses(methods["float32"], model, given[:1], keys[:1]), found[:1])
    what, expected = f"ADGAN with fixed weights, {params.starts} starts, {params.steps} steps", naive()
    half = _error_of_half(_losses(methods["bfloat16"], model, given, keys)[0], expected)
    return [
        Row(what, "naive", "float32", "image", 10, seconds, checked(found[0], expected)),
        Row(what, "naive", "bfloat16", "image", None, seconds, half),
    ]


def _scored(method: Method, model: nn.Module, given: Tensor, keys: Tensor) -> Tensor:
    return score_images(method, method.prepare(model), given, keys)["score"]


def _losses(method: ADGAN, model: nn.Module, given: Tensor, keys: Tensor) -> Tensor:
    """Return the loss of every start, `(N, starts)`."""
    search, _ = method.prepare(model)
    return search.find((given,), keys).loss


def _error_of_half(found: Tensor, expected: Tensor) -> dict[str, float]:
    """Return how far a search in half precision is from the literal one; docs/performance.md has what that changes."""
    error = ((found - expected).abs() / expected).max().item()
    assert error <= 0.1, error
    return {"largest error": error}


def _anogan_naively(model: nn.Module, image: Tensor, start: Tensor, steps: int) -> Tensor:
    params, features = AnoGANParams(), model.discriminator.features
    with torch.no_grad():
        wanted = features(image)

    def loss(z: Tensor) -> Tensor:
        made = model.generator(z)
        feature = (features(made) - wanted).abs().sum()
        return (1 - params.weight) * (made - image).abs().sum() + params.weight * feature

    z = start.clone().requires_grad_()
    adam = torch.optim.Adam([z], params.z_lr, (params.beta1, params.beta2))
    for _ in range(steps):
        adam.zero_grad()
        loss(z).backward()
        adam.step()
    with torch.no_grad():
        return loss(z)


def _adgan_naively(model: nn.Module, image: Tensor, start: Tensor, params: ADGANParams) -> Tensor:
    z = start[None].clone().requires_grad_()
    adam = torch.optim.Adam([z], params.z_lr, (params.beta1, params.beta2))
    for _ in range(params.steps):
        adam.zero_grad()
        (model.generator(z) - image).square().sum().backward()
        adam.step()
    with torch.no_grad():
        return (model.generator(z) - image).square().sum()
