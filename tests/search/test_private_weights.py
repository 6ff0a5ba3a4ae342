"""Private weights of a DCGAN in PyTorch: what their results may depend on, and when they are compiled.

That they give what the literal algorithm gives is in test_latent.py and native/test_joint_search.py.
"""

import functools
from dataclasses import replace

import pytest
import torch

from heldout.errors import HeldoutError
from heldout.networks.shape import ImageShape
from heldout.numerics import randomness
from heldout.numerics.pixels import to_unit_range
from heldout.search import private_weights
from heldout.search.latent import LatentSearch, _by_default, squared_error
from tests.conftest import noise
from tests.search.literal import literal_ends
from tests.search.native.test_joint_search import LITERAL_LOSSES, SETTINGS, generator_of, search


def assert_independent(generator: torch.nn.Module, images: torch.Tensor, **settings: object) -> None:
    """Search from one image's starts among others, elsewhere in the block, and alone."""
    together = search(generator, images, [0, 1, 2, 3], **settings)
    for numbers in ([2], [3, 1, 0, 2], [1, 1]):
        apart = search(generator, images, numbers, **settings)
        for name in ("z", "loss", "made", "path"):
            assert torch.equal(getattr(apart, name), getattr(together, name)[numbers]), (name, numbers)


@pytest.mark.parametrize("by", ["torch", "compiled"])
@pytest.mark.parametrize("block", [1, 4, 5])
@pytest.mark.parametrize(("channels", "side", "width", "latent"), [(1, 8, 5, 6), (3, 16, 7, 33), (1, 32, 4, 100)])
def test_neither_neighbours_nor_the_place_in_a_block_move_a_bit(uncompiled, channels, side, width, latent, block, by):
    """With widths and latents that fill no vector: where memory is aligned otherwise, BLAS adds up in another order."""
    generator = generator_of(latent, width, ImageShape(channels, side))
    assert_independent(generator, to_unit_range(noise(4, channels, side)), block=block, backend=by)


def test_a_start_that_is_not_finite_leaves_the_later_blocks_alone(uncompiled):
    generator = generator_of(6, 4, ImageShape(1, 16))
    images = to_unit_range(noise(2, 1, 16))
    damaged = torch.stack([torch.full_like(images[0], torch.nan), images[1]])
    for by in ("torch", "compiled"):
        found = search(generator, damaged, [0, 1], backend=by)
        assert found.loss[0].isnan().all()
        assert torch.equal(found.made[1], search(generator, images, [0, 1], backend=by).made[1])


@pytest.mark.slow
@pytest.mark.parametrize("update", ["together", "in_turn"])
def test_compiled_weights_find_what_the_literal_algorithm_finds_and_ignore_their_neighbours(update):
    generator = generator_of(10, 5, ImageShape(1, 16))
    images = to_unit_range(noise(4, 1, 16))
    settings = {"update": update, "block": 3, "backend": "compiled"}
    assert_independent(generator, images, **settings)
    wanted = replace(SETTINGS, **settings)
    literal = literal_ends(generator, images[:2], LITERAL_LOSSES[squared_error], wanted)
    prepared = LatentSearch(generator, squared_error, wanted)
    assert prepared.backend == "compiled"
    found = prepared.find((images[:2],), literal.keys)
    assert ((found.loss - literal.loss).abs() / literal.loss).median() <= 1e-6
    assert ((found.loss.mean(1) - literal.loss.mean(1)).abs() / literal.loss.mean(1)).max() <= 1e-3


def test_each_kind_of_device_has_a_backend_of_its_own():
    assert _by_default(torch.device("cpu")) == "native"
    assert _by_default(torch.device("cuda", 1)) == "compiled"


def test_a_long_search_is_not_compiled_and_says_why(uncompiled, monkeypatch):
    """Its first layer's moments are sums over all steps, which a compiler would write out one by one."""
    generator = generator_of(6, 4, ImageShape(1, 8))
    images = to_unit_range(noise(1, 1, 8))
    with pytest.raises(HeldoutError, match="^backend: compiled cannot run here: it has 21 steps, and 20 at most"):
        search(generator, images, [0], steps=21, backend="compiled")
    monkeypatch.setattr("heldout.search.latent._by_default", lambda device: "compiled")
    prepared = LatentSearch(generator, squared_error, replace(SETTINGS, steps=21))
    assert prepared.backend == "torch" and prepared.why.startswith("it has 21 steps")
    found = search(generator, images, [0], steps=21)
    assert torch.equal(found.made, search(generator, images, [0], steps=21, backend="torch").made)


@pytest.fixture
def without_compiling(uncompiled, monkeypatch):
    def fails(function, **_):
        raise RuntimeError("no working C++ compiler\nsecond line")

    monkeypatch.setattr(torch, "compile", fails)


def test_where_nothing_compiles_compiled_is_an_error_of_one_line(without_compiling):
    generator = generator_of(6, 4, ImageShape(1, 16))
    why = "^backend: compiled cannot run here: torch.compile fails: no working C.. compiler; set backend: auto$"
    with pytest.raises(HeldoutError, match=why):
        search(generator, to_unit_range(noise(1, 1, 16)), [0], backend="compiled")


def test_where_nothing_compiles_auto_takes_pytorchs_operators_and_says_why(without_compiling, monkeypatch):
    monkeypatch.setattr("heldout.search.latent._by_default", lambda device: "compiled")
    generator = generator_of(6, 4, ImageShape(1, 16))
    images = to_unit_range(noise(1, 1, 16))
    prepared = LatentSearch(generator, squared_error, SETTINGS)
    assert prepared.backend == "torch" and prepared.why.startswith("torch.compile fails: no working")
    found = search(generator, images, [0])
    assert torch.equal(found.made, search(generator, images, [0], backend="torch").made)


def test_compiling_is_announced_since_the_first_block_waits_for_it(uncompiled, monkeypatch):
    monkeypatch.setattr("heldout.search.latent._by_default", lambda device: "compiled")
    prepared = LatentSearch(generator_of(6, 4, ImageShape(1, 16)), squared_error, SETTINGS)
    assert (prepared.backend, prepared.why) == ("compiled", "the device is a GPU; its first block compiles")


def test_a_search_that_is_used_again_begins_anew(uncompiled):
    """Its private weights are allocated once and hold the last block's."""
    generator = generator_of(6, 4, ImageShape(1, 16))
    images = to_unit_range(noise(2, 1, 16))
    for by in ("torch", "compiled"):
        prepared = LatentSearch(generator, squared_error, replace(SETTINGS, backend=by))
        prepared.find((images[:1],), randomness.image_keys(0, [0]))
        again = prepared.find((images[1:],), randomness.image_keys(0, [1]))
        assert torch.equal(again.made, search(generator, images, [1], backend=by).made)


def test_a_process_may_search_with_many_settings(monkeypatch):
    """PyTorch stops after eight compilations of a function, and each setting needs three of the longest one."""
    traced = functools.partial(torch.compile, backend="eager")
    monkeypatch.setattr(torch, "compile", lambda function, options, **more: traced(function, **more))
    private_weights._compiled.cache_clear()
    generator = generator_of(6, 4, ImageShape(1, 8))
    images = to_unit_range(noise(1, 1, 8))
    with torch._dynamo.config.patch(recompile_limit=8):
        for beta1 in (0.1, 0.2, 0.3, 0.4):
            settings = {"steps": 3, "beta1": beta1}
            found = search(generator, images, [0], **settings, backend="compiled")
            expected = search(generator, images, [0], **settings, backend="torch")
            torch.testing.assert_close(found.loss, expected.loss, rtol=1e-3, atol=0)
    private_weights._compiled.cache_clear()
