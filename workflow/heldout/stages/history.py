"""The history of a training: losses, gradient norms and the diversity of samples, one row per epoch."""

import csv
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from heldout.errors import NumericalFailure
from heldout.numerics import randomness
from heldout.numerics.pixels import to_unit_range
from heldout.numerics.training_steps import Training
from heldout.stages.samples import sample
from heldout.storage.files import whole_file

DRAWN = 64  # samples for the diversity


@dataclass
class History:
    """The history of a training so far.

    With `refit`, the epochs of the second training continue the numbers of the first.

    Attributes:
        rows: one per epoch: the means of each loss and of each part's gradient norm over the updates that began in the
            epoch, and the diversity of samples at its end.
        step: number of updates.
        seen: number of images drawn.
        spent_s: seconds in the loop, over all processes of the training.
        watching_s: the part of these seconds that the history took.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    step: int = 0
    seen: int = 0
    spent_s: float = 0.0
    watching_s: float = 0.0

    def add(self, training: Training, losses: dict[str, float], drawn: int) -> None:
        """Add an update; begin a row with each epoch, and when the names of the losses change, as after a pretraining.

        Raises:
            NumericalFailure: a loss is not finite.
        """
        self.step += 1
        for name, loss in losses.items():
            if not math.isfinite(loss):
                raise NumericalFailure(f"the {name} loss is {loss} at step {self.step}")
        began = time.perf_counter()
        rows, epoch = self.rows, self.seen // len(training.images) + 1
        watched = losses | _gradient_norms(training.model)
        if not rows or rows[-1]["epoch"] != epoch or not losses.keys() <= rows[-1].keys():
            self.end_row(training)
            rows.append({"epoch": epoch, "step": 0, "steps": 0, "images": 0, **dict.fromkeys(watched, 0.0)})
        row = rows[-1]
        row["step"], row["steps"], row["images"] = self.step, row["steps"] + 1, row["images"] + drawn
        for name, value in watched.items():
            row[name] += (value - row[name]) / row["steps"]
        self.seen += drawn
        self.watching_s += time.perf_counter() - began

    def end_row(self, training: Training) -> None:
        """Add the diversity to the last row, if there is one."""
        if self.rows:
            self.rows[-1] |= _diversity(training)

    def write(self, path: Path) -> None:
        """Write the rows as CSV."""
        with whole_file(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
            columns = list(dict.fromkeys(name for row in self.rows for name in row))
            writer = csv.DictWriter(file, columns or ["epoch", "step", "steps", "images"], lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)


def _gradient_norms(model: nn.Module) -> dict[str, float]:
    """Return the Euclidean norm of the last gradient of each part of the model, to detect vanishing or explosion."""
    norms = {}
    for name, part in model.named_children():
        gradients = [weight.grad for weight in part.parameters() if weight.grad is not None]
        if gradients:
            norms[f"{name}_gradient"] = torch.nn.utils.get_total_norm(gradients).item()
    return norms


def _diversity(training: Training) -> dict[str, float]:
    """Return the mean distance between samples, divided by that between training images; near 0 on mode collapse."""
    model = training.model
    model.eval()
    made = sample(training.name, model, DRAWN, randomness.generator("diversity"))
    model.train()
    if made is None:
        return {}
    real = to_unit_range(training.images[:DRAWN])
    return {"diversity": (torch.pdist(made.flatten(1)).mean() / torch.pdist(real.flatten(1)).mean()).item()}
