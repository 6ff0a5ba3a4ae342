"""Draw every figure of a kind and write it in each format."""

from pathlib import Path
from typing import cast

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from heldout import registry
from heldout.evaluation.inputs import Inputs
from heldout.figures import Draws, _style
from heldout.planning.plan import FIGURE_FORMATS
from heldout.storage.files import whole_file


def draw(kind: str, inputs_path: Path) -> None:
    """Write `figures/<stem>.svg` and `.png` beside `inputs_path` for each subject of this kind of figure.

    Args:
        kind: a registered figure.
        inputs_path: the experiment's `inputs.json`.
    """
    matplotlib.use("Agg")
    inputs = Inputs.read(inputs_path)
    draws = cast(Draws, registry.load("figure", kind).plugin)
    with _style.settings():
        for subject in inputs.content.figures[kind]:
            figure = draws(inputs, subject)
            save(figure, inputs.folder / "figures", subject.stem)
            plt.close(figure)


def save(figure: Figure, folder: Path, stem: str) -> list[Path]:
    """Write a figure in each format, within `_style.settings()`; return the files."""
    paths = [folder / f"{stem}.{form}" for form in FIGURE_FORMATS]
    for form, path in zip(FIGURE_FORMATS, paths, strict=True):
        with whole_file(path) as temporary:
            figure.savefig(temporary, format=form, metadata=_style.METADATA[form])
    return paths
