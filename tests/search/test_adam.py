"""Adam against PyTorch's in double precision, and that it treats all places of a tensor alike."""

import pytest
import torch

from heldout.search.adam import Adam


@pytest.mark.parametrize(("beta1", "beta2"), [(0.5, 0.999), (0.9, 0.99), (0.0, 0.0)])
def test_tensors_move_as_by_pytorchs_adam(beta1, beta2):
    rng = torch.Generator().manual_seed(0)
    ours = [torch.randn(shape, generator=rng, dtype=torch.float64) for shape in ((3, 5), (7,))]
    theirs = [tensor.clone() for tensor in ours]
    adam = Adam(ours, 0.1, beta1, beta2)
    expected = torch.optim.Adam(theirs, 0.1, (beta1, beta2))
    for _ in range(6):
        for mine, other in zip(ours, theirs, strict=True):
            mine.grad = torch.randn(mine.shape[::-1], generator=rng, dtype=torch.float64).permute(
                *reversed(range(mine.ndim))
            )
            other.grad = mine.grad.contiguous()
        adam.step()
        expected.step()
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12)


def test_equal_rows_stay_equal_wherever_they_lie():
    """Of rows that fill no whole vector, the last ones are where PyTorch's fused Adam rounds otherwise."""
    rng = torch.Generator().manual_seed(0)
    for length in range(1, 20):
        rows = torch.randn(1, length, generator=rng).repeat(5, 1)
        adam = Adam([rows], 0.25, 0.5, 0.999)
        for _ in range(20):
            rows.grad = torch.randn(1, length, generator=rng).repeat(5, 1)
            adam.step()
        assert (rows == rows[0]).all(), length
