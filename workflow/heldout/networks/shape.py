"""The shape of a network's images."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageShape:
    """Channels, side in pixels and number of normal classes of square images."""

    channels: int
    side: int
    classes: int = 1
