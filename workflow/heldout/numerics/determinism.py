"""Fixed threads and deterministic kernels; without them the last bits of results would vary."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def reproducible(threads: int) -> Iterator[None]:
    """Fix the number of threads and use kernels with a fixed order of summation."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with it
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    # torch.use_deterministic_algorithms also imports Inductor, which takes a second and only torch.compile needs.
    torch.set_deterministic_debug_mode("warn")
    # Otherwise PyTorch fills every new tensor with NaN to expose reads of uninitialised memory.
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.utils.deterministic.fill_uninitialized_memory = True
        torch.set_num_threads(before)
        torch.set_deterministic_debug_mode("default")
