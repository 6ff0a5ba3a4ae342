"""Samples of a generator: a row per held-out class, training images on the left, samples on the right.

With several seeds, the first is shown.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from heldout import registry
from heldout.errors import NumericalFailure
from heldout.evaluation.inputs import Inputs
from heldout.numerics import randomness
from heldout.numerics.pixels import to_unit_range
from heldout.stages.samples import sample
from heldout.stages.score import trained_model
from heldout.storage.manifests import SplitManifest
from heldout.storage.prepared import part_of
from heldout.storage.report_inputs import RunFiles, Subject
from heldout.storage.sidecars import read_spec

REAL, MADE = 4, 12


@registry.figure("samples", one_per="model", reads=("checkpoints",))
def samples(inputs: Inputs, subject: Subject) -> Figure:
    runs = [run for run in inputs.runs if run.dataset == subject.dataset]
    runs = [run for run in runs if run.seed == runs[0].seed]
    figure, axes = plt.subplots(len(runs), 1, figsize=(8, 0.5 * len(runs) + 0.3), squeeze=False, layout="constrained")
    for ax, run in zip(axes[:, 0], runs, strict=True):
        real, made = _row(run, inputs.manifests[run.split], subject.model)
        draw(ax, real, made)
        ax.set_ylabel(run.held_out, rotation=0, ha="right", va="center")
    axes[0, 0].set_title(f"{subject.dataset}: training images", loc="left", fontsize=9)
    axes[0, 0].set_title(f"{subject.model}: samples", loc="right", fontsize=9)
    return figure


def draw(ax: Axes, real: torch.Tensor, made: torch.Tensor | None) -> None:
    """Draw one row of images.

    Args:
        ax: where to draw.
        real, made: `(N, C, H, W)` in [-1, 1], grey or colour; `made` is None if the training failed.
    """
    gap = torch.ones_like(real[:1])
    row = torch.cat([real, gap, made] if made is not None else [real, gap])
    pixels = ((row + 1) / 2).permute(2, 0, 3, 1).flatten(1, 2)  # (N, C, H, W) -> (H, N * W, C)
    ax.imshow(np.asarray(pixels.expand(-1, -1, 3)), interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def _row(run: RunFiles, manifest: SplitManifest, model: str) -> tuple[torch.Tensor, torch.Tensor | None]:
    images = Path(run.images)
    real = to_unit_range(part_of(images, manifest, "train")[:REAL])
    path = Path(run.checkpoints[model])
    planned = read_spec(path)
    try:
        trained = trained_model(path, planned.digest, images)
    except NumericalFailure:
        return real, None
    return real, sample(planned.spec["model"], trained, MADE, randomness.generator(run.seed, "samples"))
