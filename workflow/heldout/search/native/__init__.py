"""C++ kernels, compiled on first use, beside the PyTorch code that they stand in for; each has its `.cpp` beside it."""
