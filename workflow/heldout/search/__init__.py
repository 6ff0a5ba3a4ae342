"""Search in a generator's latent space, with shared or private weights, in PyTorch and C++."""
