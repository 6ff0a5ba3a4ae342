"""Images side by side in one `Axes`, each above its caption; a frame marks anomalous images, so also in grey prints."""

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from torch import Tensor

from heldout.figures._style import ANOMALOUS

SIDE = 0.62  # inches of an image
PITCH = 1.12  # from one image to the next, in sides
LINE = 0.19  # of a caption, in sides
BETWEEN = 0.11  # inches from one strip to the next
FRAMED = "framed: anomalous"


def height(lines: int) -> float:
    """Return the height of a strip in sides, given the number of lines of its captions."""
    return 1.1 + LINE * lines


def size(room: int, lines: list[int]) -> tuple[float, float]:
    """Return width and height in inches of a figure of strips, without their labels.

    Args:
        room: number of pictures side by side.
        lines: number of caption lines of each strip.
    """
    return PITCH * SIDE * room, sum(SIDE * height(of_strip) + BETWEEN for of_strip in lines)


def displayed(images: Tensor) -> np.ndarray:
    """Return images `(N, C, H, W)` in [-1, 1], grey or colour, as `(N, H, W, 3)` in [0, 1]."""
    return ((images.clamp(-1, 1) + 1) / 2).expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()


def draw(
    ax: Axes,
    pictures: np.ndarray,
    is_anomalous: np.ndarray,
    captions: list[str],
    room: int,
    **look: object,
) -> AxesImage | None:
    """Draw pictures from the left.

    Args:
        ax: where to draw.
        pictures: `(N, H, W, 3)` in [0, 1], or `(N, H, W)` for a colour map.
        is_anomalous: `(N,)`, whether a picture gets a frame.
        captions: one per picture, all with the same number of lines; empty: no captions.
        room: number of pictures that fit, at least N.
        look: colour map and range.

    Returns:
        The last picture, for a colour bar.
    """
    blank(ax)
    drawn = None
    for place, picture in enumerate(pictures):
        left = place * PITCH
        drawn = ax.imshow(picture, extent=(left, left + 1, 0, 1), interpolation="none", **look)
        if is_anomalous[place]:
            ax.add_patch(Rectangle((left, 0), 1, 1, fill=False, ec=ANOMALOUS, lw=1.8))
        if captions:
            ax.text(left + 0.5, -0.07, captions[place], ha="center", va="top", fontsize=6, linespacing=1.1)
    lines = captions[0].count("\n") + 1 if captions else 0
    ax.set(xlim=(-0.05, (room - 1) * PITCH + 1.05), ylim=(1.05 - height(lines), 1.05), aspect="equal", anchor="NW")
    return drawn


def bar(ax: Axes, drawn: AxesImage, lines: int) -> None:
    """Add a colour bar to the right of a strip, as high as its pictures."""
    inset = ax.inset_axes((1.01, (LINE * lines + 0.05) / height(lines), 0.012, 1 / height(lines)))
    ax.figure.colorbar(drawn, cax=inset).ax.tick_params(labelsize=6)


def say(ax: Axes, words: str) -> None:
    """Write a text in place of a strip."""
    blank(ax)
    ax.text(0, 0.5, textwrap.fill(words, 70), transform=ax.transAxes, va="center", fontsize=7)


def label(ax: Axes, words: str) -> None:
    """Write a label to the left of a strip."""
    ax.set_ylabel(words, rotation=0, ha="right", va="center", fontsize=8)


def blank(ax: Axes) -> None:
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
