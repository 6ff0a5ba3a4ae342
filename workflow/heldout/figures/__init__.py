"""Figures: the contract of a file in this folder. Copy `_template.py` to begin.

A figure is one file with one function, registered under the file's name:

    @registry.figure("my_figure", one_per="held_out", reads=("tables",))
    def my_figure(inputs: Inputs, subject: Subject) -> Figure: ...                 # see `Draws`

1. An experiment asks for it by name: `figures: [roc, my_figure]`. It becomes a rule, which waits for what it `reads`.
2. `heldout figure my_figure` calls the function once per subject: per class, row of the tables or model (`one_per`).
3. What it returns is written to `results/<experiment>/figures/<subject.stem>.svg` and `.png`, and closed.

Every number in a figure can be looked up: it stands in a table of the experiment, or it is a score, an image or a
checkpoint that `manifest.json` lists. So compute in `heldout.evaluation`, which writes tables, and draw here. The same
files give the same bytes: draw random numbers by `numerics.randomness` only, and choose nothing by hand.
`_style` has the colours: those of methods, and `NORMAL` and `ANOMALOUS` for images.
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
                `families` names the family of each for `_style.lines`. Of what `reads` does not name, nothing may be
                read: it may not be there yet.
            subject: the dataset and the class, model or methods that the figure shows.

        Returns:
            A new figure, within the settings of `_style`.

        Raises:
            HeldoutError: a file is damaged, or is not the one that was planned.
        """
        ...
