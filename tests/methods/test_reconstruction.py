"""The reconstruction score and the distance to a centre against distances of scipy."""

import pytest
import torch
from scipy.spatial.distance import cdist
from torch import nn

from heldout import registry

IMAGES = torch.rand(5, 3, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1


class Constant(nn.Module):
    """Makes, or is centred on, one and the same image."""

    def __init__(self) -> None:
        super().__init__()
        self.centre = torch.linspace(-1, 1, 48)

    def autoencoder(self, images: torch.Tensor) -> torch.Tensor:
        return self.centre.view(1, 3, 4, 4).expand(len(images), -1, -1, -1)

    def embedding(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)


def scipys(distance: str) -> torch.Tensor:
    return torch.from_numpy(cdist(IMAGES.flatten(1), Constant().centre[None], distance).squeeze(1)).float()


@pytest.mark.parametrize(("norm", "distance"), [("squared", "sqeuclidean"), ("absolute", "cityblock")])
def test_the_reconstruction_score_sums_over_pixels_and_channels(norm, distance):
    found = registry.create("method", "reconstruction", {"norm": norm}).score(Constant(), IMAGES, torch.arange(5))
    torch.testing.assert_close(found["score"], scipys(distance), rtol=1e-5, atol=0)


def test_the_deep_svdd_score_is_the_squared_distance_to_the_centre():
    found = registry.create("method", "deep_svdd", {}).score(Constant(), IMAGES, torch.arange(5))
    torch.testing.assert_close(found["score"], scipys("sqeuclidean"), rtol=1e-5, atol=0)
