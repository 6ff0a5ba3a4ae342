"""The second floor by hand."""

import pytest
import torch

from heldout.methods import Known
from heldout.methods.standardised_norm import Params, StandardisedNorm


def test_score_is_the_squared_norm_of_standardised_pixels():
    # Pixels -1 and 1 have mean 0 and deviation 1; the second pixel never changes, so one grey level is its deviation.
    train = torch.tensor([[-1.0, 0.5], [1.0, 0.5]]).view(2, 1, 1, 2)
    seen = torch.tensor([[0.0, 0.5], [0.75, 0.5], [0.0, 0.5 + 2 / 255 * 3]]).view(3, 1, 1, 2)
    method = StandardisedNorm(Params())
    score = method.score(method.fit(Known(train, seed=0)), seen, None)["score"]
    assert score.tolist() == pytest.approx([0, 0.75**2, 9], abs=1e-5)  # 2/255 is not exact in float32


def test_a_pixel_that_hardly_changes_weighs_no_more_than_the_floor_allows():
    train = torch.tensor([[-1.0, 0.5], [1.0, 0.5 + 1e-4]]).view(2, 1, 1, 2)
    seen = torch.tensor([[0.0, 0.5 + 5e-5 + 8 / 255]]).view(1, 1, 1, 2)
    method = StandardisedNorm(Params(floor=2))
    assert method.score(method.fit(Known(train, seed=0)), seen, None)["score"].item() == pytest.approx(4, abs=1e-3)
