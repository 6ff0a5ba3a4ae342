"""The most and the least anomalous test images of each method (the ADGAN paper's Figs. 4 to 6).

Two rows per method, with the score below each image: on the left from all test images, on the right from the normal
ones only, as in the paper (unusual bedrooms among bedrooms). The most extreme image comes first.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from heldout import registry
from heldout.evaluation.inputs import Inputs
from heldout.figures import _strip
from heldout.figures._task import Task
from heldout.storage.report_inputs import Subject

COUNT = 8
ENDS = {"most anomalous": -1, "least anomalous": 1}


@registry.figure("gallery", one_per="held_out", reads=("scores", "labels"))
def gallery(inputs: Inputs, subject: Subject) -> Figure:
    task = Task(inputs, subject)
    scores = {name: task.scores(name) for name in inputs.methods}
    rows = [(name, end) for name in scores for end in (ENDS if np.ndim(scores[name]) else [""])]
    everything = np.arange(len(task.classes))
    among = {"all test images": everything, "normal test images alone": everything[~task.is_anomalous]}
    width, height = _strip.size(2 * COUNT, [2] * len(rows))
    size = (width + 1.7, height + 0.5)
    figure, axes = plt.subplots(len(rows), 2, figsize=size, squeeze=False, layout="constrained")
    for (name, end), row in zip(rows, axes, strict=True):
        for ax, candidates in zip(row, among.values(), strict=True):
            if end:
                _draw(ax, task, scores[name], outermost(scores[name], candidates, ENDS[end]))
            else:
                _strip.blank(ax)
        if not end:
            _strip.say(row[0], scores[name])
        _strip.label(row[0], f"{name}\n{end}".strip())
    for ax, title in zip(axes[0], among, strict=True):
        ax.set_title(title, loc="left", fontsize=9)
    figure.suptitle(f"{task.title}; {_strip.FRAMED}", x=0.01, ha="left", fontsize=9)
    return figure


def outermost(scores: np.ndarray, candidates: np.ndarray, direction: int) -> np.ndarray:
    """Return the up to COUNT most extreme candidates, the most extreme first; ties are in the order of positions.

    Args:
        scores: of every test image.
        candidates: positions among them.
        direction: 1 from the lowest score, -1 from the highest.
    """
    return candidates[np.lexsort((candidates, direction * scores[candidates]))][:COUNT]


def _draw(ax: plt.Axes, task: Task, scores: np.ndarray, positions: np.ndarray) -> None:
    captions = [f"{task.classes[position]}\n{scores[position]:.4g}" for position in positions]
    _strip.draw(ax, _strip.displayed(task.images(positions)), task.is_anomalous[positions], captions, COUNT)
