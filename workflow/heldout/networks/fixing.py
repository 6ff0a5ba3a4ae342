"""A network whose weights stay as they are, in a form that computes the same in less time.

Batch normalisation in eval mode goes into the layer before it, spectral normalisation into the weight. A transposed
convolution to an image's few channels becomes a matrix product whose columns are added up where they overlap: on a CPU
PyTorch's own takes a fifth of a generator's forward for a sixtieth of its multiplications.

Source: Jacob et al., CVPR 2018, section 3.2, for batch normalisation; PyTorch's `torch.nn.utils.fusion`.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.fusion import fuse_conv_bn_weights

FEW_CHANNELS = 4
ABSORBING = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def fixed(network: nn.Module) -> nn.Module:
    """Return a copy of a network in eval mode that gives what the network gives, up to rounding.

    What stands in an `nn.Sequential` is made faster, and what it does not know stays. No weight of the copy asks for a
    gradient; the network itself comes back unchanged.
    """
    network = copy.deepcopy(network).requires_grad_(False)
    for module in list(network.modules()):
        if parametrize.is_parametrized(module, "weight"):
            _keep_weight(module)
    for module in list(network.modules()):
        if isinstance(module, nn.Sequential):
            _absorb_normalisation(module)
            for place, layer in enumerate(module):
                if isinstance(layer, nn.ConvTranspose2d) and layer.out_channels <= FEW_CHANNELS:
                    module[place] = _ToFewChannels(layer)
    return network.to(memory_format=torch.channels_last)


def _keep_weight(layer: nn.Module) -> None:
    """Undo a parametrisation of a copied layer; PyTorch's own function would undo the original's as well."""
    weight = layer.weight.detach()
    plain = parametrize.type_before_parametrizations(layer)
    del layer.parametrizations
    layer.__class__ = plain
    layer.register_parameter("weight", nn.Parameter(weight, requires_grad=False))


def _absorb_normalisation(layers: nn.Sequential) -> None:
    for place in reversed(range(1, len(layers))):
        normalisation = layers[place]
        before = layers[place - (2 if isinstance(layers[place - 1], nn.Unflatten) else 1)]
        if not isinstance(normalisation, nn.BatchNorm2d) or not isinstance(before, ABSORBING):
            continue
        # A linear map gives the pixels of a channel one after another.
        pixels = before.out_features // normalisation.num_features if isinstance(before, nn.Linear) else 1
        mean, variance, scale, shift = (
            None if values is None else values.repeat_interleave(pixels)
            for values in (
                normalisation.running_mean,
                normalisation.running_var,
                normalisation.weight,
                normalisation.bias,
            )
        )
        is_transposed = isinstance(before, nn.ConvTranspose2d)
        before.weight, before.bias = fuse_conv_bn_weights(
            before.weight, before.bias, mean, variance, normalisation.eps, scale, shift, is_transposed
        )
        del layers[place]


class _ToFewChannels(nn.Module):
    """A square transposed convolution of maps `(N, channels, H, W)`, as a product and a sum of what overlaps."""

    def __init__(self, layer: nn.ConvTranspose2d) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, maps: Tensor) -> Tensor:
        layer = self.layer
        count, channels, height, width = maps.shape
        pixels = maps.permute(0, 2, 3, 1).reshape(count, height * width, channels)
        columns = (pixels @ layer.weight.reshape(channels, -1)).transpose(1, 2)  # (N, few * kernel, H * W)
        stride, padding, kernel = layer.stride[0], layer.padding[0], layer.kernel_size[0]
        sides = [(side - 1) * stride - 2 * padding + kernel for side in (height, width)]
        made = nn.functional.fold(columns, sides, kernel, padding=padding, stride=stride)
        return made if layer.bias is None else made + layer.bias.view(-1, 1, 1)
