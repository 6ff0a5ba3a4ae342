"""Draw every figure of a kind and write it in each format."""

from pathlib import Path
from typing import cast

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from heldout import registry
from heldout.evaluation.inputs import Inputs
from heldout.figures import Draws, _style
from heldout.planning.plan import EVALUATED, FIGURE_FORMATS
from heldout.storage.files import whole_file


def draw(kind: str, inputs_path: Path, record: Path | None = None) -> None:
    """Write `figures/<stem>.svg` and `.png` beside `inputs_path` for each subject of this kind of figure.

    Args:
        kind: a registered figure.
        inputs_path: the experiment's `inputs.json`.
        record: the path of the step's record; None: named by the inputs.
    """
    matplotlib.use("Agg")
    inputs = Inputs.read(inputs_path)
    entry = registry.load("figure", kind)
    draws = cast(Draws, entry.plugin)
    with _style.settings(), inputs.recorded(f"figure_{kind}", record, _read(inputs, entry.facts["reads"])) as written:
        for subject in inputs.content.figures[kind]:
            figure = draws(inputs, subject)
            written += save(figure, inputs.folder / "figures", subject.stem)
            plt.close(figure)


def _read(inputs: Inputs, groups: list[str]) -> list[str | Path]:
    """Return the files of some groups, as a figure's registration names them; labels belong to the split."""
    files: dict[str, list[str | Path]] = {
        "tables": [inputs.tables / name for name in EVALUATED],
        "scores": [path for run in inputs.runs for path in run.scores.values()],
        "checkpoints": [path for run in inputs.runs for path in run.checkpoints.values()],
    }
    return [path for group in groups for path in files.get(group, [])]


def save(figure: Figure, folder: Path, stem: str) -> list[Path]:
    """Write a figure in each format, within `_style.settings()`; return the files."""
    paths = [folder / f"{stem}.{form}" for form in FIGURE_FORMATS]
    for form, path in zip(FIGURE_FORMATS, paths, strict=True):
        with whole_file(path) as temporary:
            figure.savefig(temporary, format=form, metadata=_style.METADATA[form])
    return paths
