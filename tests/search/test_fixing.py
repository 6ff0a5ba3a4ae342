"""The faster form of a network against the network itself."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.testing import assert_close

from heldout import registry
from heldout.networks import dcgan
from heldout.networks.shape import ImageShape
from heldout.numerics import randomness
from heldout.numerics.pixels import to_unit_range
from heldout.planning import schema
from heldout.search.fixing import fixed
from heldout.search.latent import LatentSearch, Settings, squared_error
from tests.conftest import noise, trained
from tests.search.literal import first_off_kinks

SHAPES = [ImageShape(1, 16), ImageShape(3, 32)]
# Parts that are networks of images or of z alone, so that one call serves them all.
PARTS = ("generator", "decoder", "discriminator", "encoder", "second_encoder", "embedding")


def parts_of(model: str) -> list[str]:
    return [part for part in schema.plugins("model")[model]["provides"] if part in PARTS]


@pytest.mark.parametrize("image", SHAPES, ids=lambda image: f"{image.channels}x{image.side}px")
@pytest.mark.parametrize("name", registry.names("model"))
def test_every_network_gives_the_same_in_its_faster_form(name, image):
    model = trained(name, image).eval()
    for part in parts_of(name):
        network = getattr(model, part)
        if not isinstance(network, nn.Module):
            continue
        given = (
            torch.rand(5, image.channels, image.side, image.side, generator=torch.Generator().manual_seed(1)) * 2 - 1
        )
        if part in ("generator", "decoder"):
            given = torch.randn(5, network.latent, generator=torch.Generator().manual_seed(2))
        faster = fixed(network)
        expected = network(given)
        assert_close(faster(given), expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())
        kinds = {type(module) for module in faster.modules()}
        assert nn.BatchNorm2d not in kinds
        assert not any(map(parametrize.is_parametrized, faster.modules()))


def test_its_gradient_of_z_is_the_networks():
    network = trained("dcgan", SHAPES[1], width=8, steps=30).generator.eval().requires_grad_(False)
    drawn = torch.randn(20, 4, network.latent, generator=torch.Generator().manual_seed(3))
    z, _ = first_off_kinks(drawn, lambda z: copy.deepcopy(network).double()(z.double()))
    z.requires_grad_()
    expected, found = (torch.autograd.grad(each(z).square().sum(), z)[0] for each in (network, fixed(network)))
    assert_close(found, expected, rtol=1e-4, atol=1e-5 * expected.abs().max().item())


def test_the_network_itself_comes_back_unchanged():
    network = trained("hinge", SHAPES[0]).eval()
    before, kinds = copy.deepcopy(network.state_dict()), [type(module) for module in network.modules()]
    for weight in fixed(network).parameters():
        assert not weight.requires_grad
        weight.add_(1)
    assert_close(network.state_dict(), before, rtol=0, atol=0)
    assert [type(module) for module in network.modules()] == kinds
    assert all(weight.requires_grad for weight in network.parameters())


def test_normalisation_behind_an_activation_stays():
    layers = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.BatchNorm2d(3)).eval()
    layers[2].running_mean.fill_(0.5)
    images = to_unit_range(noise(2, 1, 16))
    assert isinstance(fixed(layers)[2], nn.BatchNorm2d)
    assert_close(fixed(layers)(images), layers(images))


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 4, "stride": 2, "padding": 1},
        {"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1},
        {"kernel_size": (4, 2), "stride": (2, 1), "padding": (1, 0), "dilation": 2},
        {"kernel_size": 4, "groups": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("channels", [2, 8])
def test_the_last_layer_keeps_its_shape_and_its_bias(channels, settings):
    layers = nn.Sequential(nn.ConvTranspose2d(6, channels, **settings), nn.BatchNorm2d(channels)).eval()
    layers[1].running_mean.fill_(0.5)
    maps = torch.randn(2, 6, 5, 7, generator=torch.Generator().manual_seed(4))
    assert_close(fixed(layers)(maps), layers(maps))


@pytest.mark.parametrize(("side", "channels", "width", "latent"), [(8, 1, 5, 6), (8, 1, 8, 10), (16, 3, 16, 10)])
def test_the_place_in_a_block_moves_no_bit_of_a_search(side, channels, width, latent):
    image = ImageShape(channels, side)
    generator = dcgan.initialise(dcgan.Generator(latent, width, image), torch.Generator().manual_seed(5)).eval()
    keys, images = randomness.image_keys(0, range(7)), to_unit_range(noise(7, channels, side))
    settings = Settings(starts=3, steps=40, z_lr=0.25, theta_lr=0, beta1=0.5, beta2=0.999, block=8)

    def found(order: list[int]) -> torch.Tensor:
        return LatentSearch(generator, squared_error, settings).find((images[order],), keys[order]).z

    together = found(list(range(7)))
    for order in ([3, 0, 5, 1, 6, 2, 4], [6], [2, 1]):
        assert torch.equal(found(order), together[order]), order
