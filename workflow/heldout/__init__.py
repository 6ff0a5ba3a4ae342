"""heldout: GAN-based image anomaly detection, reproduced from the data to the papers' tables."""

__version__ = "0.1.0"
