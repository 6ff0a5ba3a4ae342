"""Starts for a comparison of searches: none whose search brings an input of a ReLU near 0."""

import pytest
import torch
from torch import nn

from tests.search.literal import first_off_kinks


@pytest.mark.parametrize("layer", [nn.ReLU(), nn.LeakyReLU(0.2, inplace=True), torch.abs, lambda x: x.abs()])
def test_the_first_candidate_without_an_input_near_0_is_taken(layer):
    def run(offset: float) -> torch.Tensor:
        return layer(torch.tensor([-2.0, offset, 1.0], dtype=torch.float64))

    assert first_off_kinks([1e-7, 0.0, -1e-5, 0.5], run)[0] == -1e-5
    with pytest.raises(AssertionError, match="each of 2 candidates"):
        first_off_kinks([1e-7, -1e-7], run)
