"""Threads and deterministic kernels, which would otherwise change the last bits of results."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def reproducible(threads: int) -> Iterator[None]:
    """Fix the number of threads, and use kernels that add up in a fixed order."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with it
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    # Not torch.use_deterministic_algorithms: it also imports Inductor, a second of every job, for torch.compile alone.
    torch.set_deterministic_debug_mode("warn")
    # Otherwise PyTorch fills every new tensor with NaN, to reveal kernels that read uninitialised memory.
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False
    try:
        yield
    finally:
        torch.utils.deterministic.fill_uninitialized_memory = True
        torch.set_num_threads(before)
        torch.set_deterministic_debug_mode("default")
