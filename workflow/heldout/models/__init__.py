"""Trained models, one file each: parameters, objective, and one training step, readable from top to bottom."""
