"""Draw every figure of a kind and write it in each format."""

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from heldout import registry
from heldout.evaluation.inputs import Inputs
from heldout.figures import _style
from heldout.planning.plan import FIGURE_FORMATS
from heldout.storage.files import whole_file


def draw(kind: str, inputs_path: Path) -> None:
    """Write `figures/<stem>.svg` and `.png` beside `inputs_path` for everything that the plan wants of this kind.

    Args:
        kind: a registered figure.
        inputs_path: the experiment's `inputs.json`.
    """
    matplotlib.use("Agg")
    inputs = Inputs.read(inputs_path)
    figures = registry.load("figure", kind).plugin
    with _style.settings():
        for stem, figure in figures(inputs, inputs.content["figures"][kind]):
            save(figure, inputs.folder / "figures", stem)
            matplotlib.pyplot.close(figure)


def save(figure: Figure, folder: Path, stem: str) -> list[Path]:
    """Write a figure in each format, within `_style.settings()`; return the files."""
    paths = [folder / f"{stem}.{form}" for form in FIGURE_FORMATS]
    for form, path in zip(FIGURE_FORMATS, paths, strict=True):
        with whole_file(path) as temporary:
            figure.savefig(temporary, format=form, metadata=_style.METADATA[form])
    return paths
