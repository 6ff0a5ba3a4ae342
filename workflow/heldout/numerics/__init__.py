"""What shapes numbers in every training and scoring: updates, blocks, random draws, pixels, determinism."""
