"""Histograms of the scores of normal and anomalous test images, a panel per method."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from heldout import registry
from heldout.evaluation.inputs import Inputs
from heldout.figures._style import ANOMALOUS, NORMAL
from heldout.planning.tasks import title
from heldout.storage.report_inputs import Subject

COLUMNS = 3


@registry.figure("scores", one_per="held_out", reads=("tables",))
def scores(inputs: Inputs, subject: Subject) -> Figure:
    histograms = inputs.table("histograms.csv")
    histograms = histograms[(histograms.dataset == subject.dataset) & (histograms.held_out == subject.held_out)]
    names = [name for name in inputs.methods if name in set(histograms.method)]
    rows = max(1, -(-len(names) // COLUMNS))
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(8.4, 2.3 * rows), squeeze=False, layout="constrained")
    for ax, name in zip(axes.flat, names, strict=False):
        draw(ax, histograms[histograms.method == name])
        ax.set_title(name, loc="left", fontsize=9)
    for ax in axes.flat[len(names) :]:
        ax.set_axis_off()
    about = title(inputs.runs[0].protocol, subject.held_out)
    figure.suptitle(f"{subject.dataset}, {about}", x=0.01, ha="left", fontsize=9)
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper right", ncols=2, frameon=False)
    return figure


def draw(ax: Axes, histogram: pd.DataFrame) -> None:
    """Draw one method's histogram as two densities, since the classes differ in size.

    Args:
        ax: where to draw.
        histogram: columns `low, high, normal, anomalous`: bins and counts of images.
    """
    edges = [*histogram.low, histogram.high.iloc[-1]]
    width = (histogram.high - histogram.low).to_numpy()
    looks = {"normal": {"color": NORMAL}, "anomalous": {"color": ANOMALOUS, "alpha": 0.4, "hatch": "///"}}
    for column, look in looks.items():
        counts = histogram[column].to_numpy()
        density = counts / (max(counts.sum(), 1) * width)
        ax.stairs(density, edges, fill=True, label=column, **look)
    ax.set(xlabel="anomaly score", ylabel="density", yticks=[])
    ax.xaxis.set_major_locator(MaxNLocator(4))
