"""The shape of the images that networks see."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageShape:
    """Channels and side in pixels of square images, as networks see them, and their number of normal classes."""

    channels: int
    side: int
    classes: int = 1
