"""C++ kernels, compiled on first use; each replaces PyTorch code."""
