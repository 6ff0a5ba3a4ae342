"""The shape of the images that networks see."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageShape:
    """Channels and side of square images, as networks see them, and how many normal classes they come from."""

    channels: int
    side: int
    classes: int = 1
