"""Test images x, a method's reconstructions x' and the residuals |x - x'|, a row each.

Residuals are means over channels of pixels in [-1, 1]. Each method has one colour scale, so that the images of a row
can be compared; the score is below each image. A search shows its closest start.

Source: ours; Schlegl et al., IPMI 2017, mark anomalous regions by the residual |x - G(z)|.
"""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from heldout import registry
from heldout.evaluation.inputs import Inputs
from heldout.figures import _strip
from heldout.figures._task import Task
from heldout.numerics import scoring_steps
from heldout.storage.report_inputs import Subject

EACH = 4  # normal images, and anomalous ones


@registry.figure("heatmaps", one_per="held_out", reads=("checkpoints", "scores", "labels"), shows="rebuild")
def heatmaps(inputs: Inputs, subject: Subject) -> Figure:
    task = Task(inputs, subject)
    positions = np.concatenate(task.some(EACH))
    images = task.images(positions)
    captions = [str(name) for name in task.classes[positions]]
    rows: list[dict[str, Any]] = [{"label": "test image", "pictures": images, "captions": captions}]
    for name in subject.methods:
        rows += _rows(task, name, positions, images)
    return _figure(task, rows, task.is_anomalous[positions])


def residual(images: Tensor, made: Tensor) -> Tensor:
    """Return |x - x'| per pixel, mean over channels: `(N, C, H, W)` twice -> `(N, H, W)`."""
    return (images - made).abs().mean(dim=1)


def _rows(task: Task, name: str, positions: np.ndarray, images: Tensor) -> list[dict[str, Any]]:
    """Return the two rows of a method, or one with the reason why it failed."""
    scores = task.scores(name)
    if isinstance(scores, str):
        return [{"label": name, "failed": scores}]
    with task.read_by(name) as (method, model):
        made = scoring_steps.rebuild(method, method.prepare(model), images, task.keys(positions))
    captions = [f"{score:.4g}" for score in scores[positions]]
    return [
        {"label": f"{name}: x'", "pictures": made, "captions": []},
        {"label": "|x - x'|, score", "map": residual(images, made).numpy(), "captions": captions},
    ]


def _figure(task: Task, rows: list[dict[str, Any]], is_anomalous: np.ndarray) -> Figure:
    lines = [int(bool(row.get("captions"))) for row in rows]
    count = len(is_anomalous)
    width, height = _strip.size(count, lines)
    figure, axes = plt.subplots(
        len(rows),
        figsize=(width + 1.9, height + 0.4),
        squeeze=False,
        layout="constrained",
        height_ratios=[_strip.height(of_row) for of_row in lines],
    )
    for row, of_row, ax in zip(rows, lines, axes[:, 0], strict=True):
        if "failed" in row:
            _strip.say(ax, row["failed"])
        elif "map" in row:
            scale = {"vmin": 0, "vmax": row["map"].max(), "cmap": "magma"}
            drawn = _strip.draw(ax, row["map"], is_anomalous, row["captions"], count, **scale)
            _strip.bar(ax, drawn, of_row)
        else:
            _strip.draw(ax, _strip.displayed(row["pictures"]), is_anomalous, row["captions"], count)
        _strip.label(ax, row["label"])
    figure.suptitle(f"{task.title}; {_strip.FRAMED}", x=0.01, ha="left", fontsize=9)
    return figure
