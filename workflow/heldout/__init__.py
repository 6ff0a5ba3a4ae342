"""heldout: GAN-based image anomaly detection, reproduced from the data to the papers' tables."""

from typing import TypeVar

__version__ = "0.1.0"

Definition = TypeVar("Definition")


def shapes_no_number(definition: Definition) -> Definition:
    """Mark a function or a class that shapes no number: no digest covers it (`planning/definitions.py`)."""
    return definition
