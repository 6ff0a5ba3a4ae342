"""The computations of every training and scoring: updates, blocks, random draws, pixels, determinism."""
