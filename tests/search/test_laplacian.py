"""The Laplacian pyramid's distance against scipy's filters, and against values computed by hand."""

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve1d

from heldout.search.laplacian import laplacian_distance

TAPS = np.array([1, 4, 6, 4, 1]) / 16


def blurred(image: np.ndarray) -> np.ndarray:
    return convolve1d(convolve1d(image, TAPS, axis=0, mode="mirror"), TAPS, axis=1, mode="mirror")


def literal_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Both pyramids band by band, as Burt and Adelson build them; bands of an image `(H, W)` are compared."""

    def bands(image: np.ndarray) -> list[np.ndarray]:
        found = []
        while len(image) > 4:
            coarser = blurred(image)[::2, ::2]
            spread = np.zeros_like(image)
            spread[::2, ::2] = coarser
            found.append(image - 4 * blurred(spread))
            image = coarser
        return [*found, image]

    return sum(4**j * np.abs(x - y).sum() for j, (x, y) in enumerate(zip(bands(a), bands(b), strict=True)))


@pytest.mark.parametrize(("channels", "side"), [(1, 16), (3, 32)])
def test_it_is_the_weighted_l1_distance_of_the_bands(channels, side):
    rng = np.random.default_rng(0)
    a, b = rng.uniform(-1, 1, (2, 4, channels, side, side))
    expected = [sum(literal_distance(x, y) for x, y in zip(*pair, strict=True)) for pair in zip(a, b, strict=True)]
    assert laplacian_distance(torch.from_numpy(a), torch.from_numpy(b)).numpy() == pytest.approx(expected, rel=1e-9)


def test_a_constant_difference_is_all_in_the_coarsest_band():
    black, grey = torch.zeros(1, 1, 32, 32, dtype=torch.float64), torch.full((1, 1, 32, 32), 0.5, dtype=torch.float64)
    # 3 halvings to 4 pixels a side: weight 4^3, 16 pixels, each 0.5 apart.
    assert laplacian_distance(black, grey).item() == pytest.approx(64 * 16 * 0.5)
