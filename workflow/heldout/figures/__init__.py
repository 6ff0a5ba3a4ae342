"""Figures: the contract of a file in this folder. Copy `_template.py` to begin.

A figure is one file with one function, registered under the file's name:

    @registry.figure("my_figure", one_per="held_out", reads=("tables",))
    def my_figure(inputs: Inputs, subject: Subject) -> Figure: ...                 # see `Draws`

1. An experiment requests it by name: `figures: [roc, my_figure]`. It becomes a Snakemake rule; `reads` gives its
   inputs.
2. `heldout figure my_figure` calls the function once per subject: a class, a row of the tables or a model (`one_per`).
3. The returned figure is written to `results/<experiment>/figures/<subject.stem>.svg` and `.png`, and closed.

Every number in a figure is in a table of the experiment, or is a score, an image or a checkpoint in `manifest.json`. So
compute numbers in `heldout.evaluation`, which writes tables, and only draw them here. The same files must give the same
bytes: draw random numbers with `numerics.randomness`, and select nothing by hand. `_style` defines the colours of
methods, and `NORMAL` and `ANOMALOUS` for images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # planning lists figures without Matplotlib
    from matplotlib.figure import Figure

    from heldout.evaluation.inputs import Inputs
    from heldout.storage.report_inputs import Subject


class Draws(Protocol):
    """The contract of a registered function."""

    def __call__(self, inputs: Inputs, subject: Subject) -> Figure:
        """Draw one figure.

        Args:
            inputs: the experiment: `table(name)` reads a table, `methods` are its entries in the tables' order,
                `families` are their families, for `_style.lines`. Read only the inputs named in `reads`; others may not
                exist yet.
            subject: the dataset and the class, model or methods that the figure shows.

        Returns:
            A new figure, within the settings of `_style`.

        Raises:
            HeldoutError: a file is damaged or not the planned one.
        """
        ...
