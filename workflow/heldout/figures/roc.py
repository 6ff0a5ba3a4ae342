"""ROC curves of one held-out class, and of their mean over all classes (the ADGAN paper's Fig. 3).

One line per method, the best first, with the 95 % bootstrap band over test images.
"""

from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from heldout import registry
from heldout.evaluation.evaluate import MEAN
from heldout.evaluation.inputs import Inputs
from heldout.figures import _style
from heldout.planning.tasks import title
from heldout.storage.report_inputs import Subject

LEGEND = "method (AUROC)\nshaded: 95 % interval\nover test images"


@registry.figure("roc", one_per="held_out_and_mean", reads=("tables",))
def roc(inputs: Inputs, subject: Subject) -> Figure:
    metrics = inputs.table("metrics.csv")[["dataset", "held_out", "method", "auroc"]]
    curves = inputs.table("roc.csv").merge(metrics)
    held_out = subject.held_out or MEAN
    figure, ax = plt.subplots(figsize=(5.2, 4.6))
    draw(ax, curves[(curves.dataset == subject.dataset) & (curves.held_out == held_out)], _style.lines(inputs.families))
    about = "mean over held-out classes" if held_out == MEAN else title(inputs.runs[0].protocol, held_out)
    ax.set_title(f"{subject.dataset}, {about}", loc="left", fontsize=9)
    return figure


def draw(ax: Axes, curves: pd.DataFrame, lines: dict[str, dict[str, Any]]) -> None:
    """Draw the curves, best method first. Reads no file, so a test can call it on ten rows.

    Args:
        ax: where to draw.
        curves: columns `method, auroc, fpr, tpr, tpr_low, tpr_high`, all in [0, 1].
        lines: the look of each method, as `_style.lines` returns it.
    """
    ordered = curves.sort_values(["auroc", "method", "fpr"], ascending=[False, True, True])
    for rank, (method, rows) in enumerate(ordered.groupby("method", sort=False)):
        fpr, tpr = [0, *rows.fpr], [0, *rows.tpr]  # every curve starts at the origin
        apart = (0.02 + 0.03 * (rank % 5), 0.15)  # so that markers of similar curves do not overlap
        label = f"{method} ({rows.auroc.iloc[0]:.3f})"
        ax.plot(fpr, tpr, label=label, lw=1.3, ms=4.5, mew=0, markevery=apart, **lines[method])
        ax.fill_between(rows.fpr, rows.tpr_low, rows.tpr_high, color=lines[method]["color"], alpha=0.08, lw=0)
    ax.plot([0, 1], [0, 1], color="0.6", lw=0.8, ls=":")  # chance
    margin = (-0.01, 1.01)  # otherwise the axis hides a curve that rises at 0
    ax.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal", xlim=margin, ylim=margin)
    ax.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False, title=LEGEND, handlelength=3.5)
