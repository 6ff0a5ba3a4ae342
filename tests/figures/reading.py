"""What stands in a drawn figure, and the same from the files that it was made from."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from heldout import registry
from heldout.evaluation.inputs import Inputs
from heldout.storage.labels import read_labels
from heldout.storage.score_files import read_scores

OPTED_FOR = ("gallery", "heatmaps", "latent_path")
FAILED = "failed: dcgan: the "


def drawn(kind: str, inputs: Inputs) -> plt.Figure:
    """The one figure of a kind."""
    (subject,) = inputs.content.figures[kind]
    return registry.load("figure", kind).plugin(inputs, subject)


def rows(figure: plt.Figure) -> list[tuple[str, list[plt.Axes]]]:
    """The strips of a figure: what is written left of a row, and its strips from the left."""
    found: list[tuple[str, list[plt.Axes]]] = []
    for ax in figure.axes:
        if ax.get_ylabel():
            found.append((ax.get_ylabel(), []))
        found[-1][1].append(ax)
    return found


def words(ax: plt.Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def pixels(ax: plt.Axes) -> np.ndarray:
    """The pictures in a strip, `(N, H, W)`, of grey ones the first channel."""
    pictures = np.stack([image.get_array() for image in ax.images])
    return pictures[..., 0] if pictures.ndim == 4 else pictures


def on_disk(inputs: Inputs, method: str) -> pd.DataFrame:
    """The test images of the first seed as the files have them: `index`, `score` and class `name`."""
    run = inputs.runs[0]
    table = pd.DataFrame(read_scores(run.scores[method]).columns)
    table = table[table.part == "test"].reset_index(drop=True)
    return table.assign(name=read_labels(run.labels).classes[table["index"]])


def stored(inputs: Inputs, indices: pd.Series) -> np.ndarray:
    """Prepared images in [0, 1], `(N, H, W)`."""
    return np.load(inputs.runs[0].images)[indices.to_numpy(), 0] / 255
