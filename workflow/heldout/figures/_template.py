"""A figure to copy: AUROC by method as bars, with 95 % intervals. One line that says what it shows.

Copy this file to `my_figure.py`, replace every `my_figure` and the drawing, and delete the comments. The copy works
unchanged: an experiment with `figures: [my_figure]` draws it.

Source: the figure of a paper that it reproduces, or `ours`.
"""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from heldout import registry
from heldout.evaluation.inputs import Inputs
from heldout.figures import _style
from heldout.storage.report_inputs import Subject


@registry.figure(
    "my_figure",  # the name of this file without `.py`
    one_per="held_out",  # or "held_out_and_mean", or "model"
    reads=("tables",),  # its inputs: any of "tables", "checkpoints", "scores" and "labels"
)
def my_figure(inputs: Inputs, subject: Subject) -> Figure:
    metrics = inputs.table("metrics.csv")  # a row per dataset, held-out class and method
    rows = metrics[(metrics.dataset == subject.dataset) & (metrics.held_out == subject.held_out)]
    figure, ax = plt.subplots(figsize=(5.2, 0.3 * len(rows) + 1), layout="constrained")
    draw(ax, rows, _style.lines(inputs.families))
    ax.set_title(f"{subject.dataset}, {subject.held_out}", loc="left", fontsize=9)
    return figure


# This function reads no file, so a test can call it with an `Axes` and a table of three rows.
def draw(ax: Axes, rows: pd.DataFrame, lines: dict[str, dict]) -> None:
    """Draw a bar per method; a failed method has no bar.

    Args:
        ax: where to draw.
        rows: columns `method, auroc, auroc_low, auroc_high`, all but the first in [0, 1].
        lines: the look of each method, as `_style.lines` returns it.
    """
    around = [rows.auroc - rows.auroc_low, rows.auroc_high - rows.auroc]
    ax.barh(rows.method, rows.auroc, xerr=around, color=[lines[name]["color"] for name in rows.method])
    ax.set(xlabel="AUROC, with 95 % interval", xlim=(0, 1))
    ax.invert_yaxis()  # the first method on top, as in the tables
