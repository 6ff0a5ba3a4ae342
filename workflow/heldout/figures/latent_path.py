"""The path of a search through a latent space of two dimensions (the ADGAN paper's Fig. 2), a row per method.

Contours: the loss ||x - g(z)||^2 of the trained generator, dark where it is high, for one normal and one anomalous test
image. Lines: from the starts (open) to the ends (filled) of the search. ADGAN also moves the weights, so its loss ends
below the contour; AnoGAN minimises another loss. Dotted circles: one and two standard deviations of the prior.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.contour import QuadContourSet
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from torch import Tensor, nn

from heldout import registry
from heldout.evaluation.inputs import Inputs
from heldout.figures import _strip, _style
from heldout.figures._task import Task
from heldout.numerics import scoring_steps
from heldout.numerics.blocks import in_blocks
from heldout.storage.report_inputs import Subject

STARTS = 8  # number of paths
LEAST_REACH = 3.0  # standard deviations of the prior on each side
POINTS, LEVELS = 61, 12
BLOCK = 64  # points of the plane in one forward


@registry.figure("latent_path", one_per="held_out", reads=("checkpoints", "scores", "labels"), shows="path", latent=2)
def latent_path(inputs: Inputs, subject: Subject) -> Figure:
    lines = _style.lines(inputs.families)
    task = Task(inputs, subject)
    positions = np.concatenate(task.some(1))
    images = task.images(positions)
    names = subject.methods
    size = (8.4, 3.7 * len(names) + 0.4)
    figure, axes = plt.subplots(len(names), 2, figsize=size, squeeze=False, layout="constrained")
    for name, row in zip(names, axes, strict=True):
        scores = task.scores(name)
        if isinstance(scores, str):
            _strip.say(row[0], f"{name} {scores}")
            _strip.blank(row[1])
            continue
        with task.read_by(name) as (method, model):
            paths = scoring_steps.path(method, method.prepare(model), images, task.keys(positions))[:, :STARTS]
            axis = axis_around(paths)
            planes = [losses(model.generator, image, axis) for image in images]
        for ax, position, image, plane, path in zip(row, positions, images, planes, paths, strict=True):
            drawn = draw(ax, axis.numpy(), plane, path.numpy(), lines[name]["color"])
            figure.colorbar(drawn, ax=ax, format="%.4g").ax.tick_params(labelsize=6)
            kind = "anomalous" if task.is_anomalous[position] else "normal"
            title = f"{name}, {kind}: {task.classes[position]}, score {scores[position]:.4g}"
            ax.set_title(title, loc="left", fontsize=8, y=1.0)  # a title without y moves above the inset
            above = ax.inset_axes((0.86, 1.01, 0.14, 0.14))  # above the axes, so that it covers no path
            _strip.draw(above, _strip.displayed(image[None]), task.is_anomalous[[position]], [], 1)
    what = "$\\|x - g(z)\\|^2$ and the paths of z, from open to filled; dotted: 1 and 2 deviations of the prior"
    figure.suptitle(f"{task.title}\n{what}", x=0.01, ha="left", fontsize=9)
    return figure


def axis_around(paths: Tensor) -> Tensor:
    """Return the grid of both coordinates; it covers all paths and most of the prior."""
    reach = max(LEAST_REACH, 1.05 * paths.abs().max().item())
    return torch.linspace(-reach, reach, POINTS)


def losses(generator: nn.Module, image: Tensor, axis: Tensor) -> np.ndarray:
    """Return ||x - g(z)||^2 at every z = (axis[column], axis[row]), for an image `(C, H, W)`."""
    rows, columns = torch.meshgrid(axis, axis, indexing="ij")
    z = torch.stack([columns, rows], dim=-1).flatten(0, 1)

    def loss(z: Tensor) -> Tensor:
        return (generator(z) - image).square().flatten(1).sum(1)

    with torch.no_grad():
        return in_blocks(loss, z, size=BLOCK)[0].view(rows.shape).numpy()


def draw(ax: Axes, axis: np.ndarray, plane: np.ndarray, paths: np.ndarray, color: str) -> QuadContourSet:
    """Draw contours and paths.

    Args:
        ax: where to draw.
        axis: the values of both coordinates, `(points,)`.
        plane: the loss, `(points, points)`, a row for each value of the second coordinate.
        paths: `(starts, steps + 1, 2)`.
        color: of the paths.
    """
    drawn = ax.contourf(axis, axis, plane, LEVELS, cmap="Greys")
    for radius in (1, 2):
        ax.add_patch(Circle((0, 0), radius, fill=False, ec="0.25", lw=0.7, ls=":"))
    for path in paths:
        ax.plot(*path.T, color="white", lw=2.6, alpha=0.8)
        ax.plot(*path.T, color=color, lw=1.2)
        ax.plot(*path[0], "o", ms=4, mfc="white", mec=color)
        ax.plot(*path[-1], "o", ms=4, mfc=color, mec="white", mew=0.5)
    ax.set(xlabel="$z_1$", ylabel="$z_2$", aspect="equal", xlim=axis[[0, -1]], ylim=axis[[0, -1]])
    return drawn
