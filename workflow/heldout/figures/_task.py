"""The test images of one held-out class for figures: pixels, labels, scores, and the model that a method reads.

With several seeds, figures show the first. Images are selected by their keys or scores, never by hand.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from heldout import registry
from heldout.evaluation.inputs import Inputs
from heldout.numerics import randomness
from heldout.numerics.determinism import reproducible
from heldout.numerics.pixels import to_unit_range
from heldout.planning.tasks import title
from heldout.stages.score import trained_model
from heldout.storage.prepared import part_of
from heldout.storage.report_inputs import Subject


class Task:
    """A dataset and class. A position is an image's index among the test images.

    Attributes:
        classes: each test image's class, `(N,)`.
        is_anomalous: `(N,)` bool.
        title: the title of its figures.

    Raises:
        HeldoutError: images, labels or scores do not belong to the split.
    """

    def __init__(self, inputs: Inputs, subject: Subject) -> None:
        wanted = (subject.dataset, subject.held_out)
        self.run = next(run for run in inputs.runs if (run.dataset, run.held_out) == wanted)
        self.methods = inputs.methods
        self.images_path = Path(self.run.images)
        self._inputs = inputs
        manifest = inputs.manifests[self.run.split]
        self.indices = np.array(manifest.test)
        self.classes = inputs.test_classes(self.run)
        self.is_anomalous = ~np.isin(self.classes, manifest.normal)
        self._stored = part_of(self.images_path, manifest, "test")
        about = title(self.run.protocol, self.run.held_out)
        self.title = f"{self.run.dataset}, {about}, seed {self.run.seed}"

    def images(self, positions: np.ndarray) -> Tensor:
        """Return images `(N, C, H, W)` in [-1, 1]."""
        return to_unit_range(self._stored[positions])

    def keys(self, positions: np.ndarray) -> Tensor:
        """Return the images' keys, as in scoring."""
        return randomness.image_keys(self.run.seed, self.indices[positions].tolist())

    def some(self, each: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the positions of the `each` normal and `each` anomalous images with the smallest keys."""
        order = self.keys(np.arange(len(self.indices))).argsort().numpy()
        return order[~self.is_anomalous[order]][:each], order[self.is_anomalous[order]][:each]

    def scores(self, name: str) -> np.ndarray | str:
        """Return a method's score of every test image, or the reason why it failed."""
        read, scores = self._inputs.test_scores(self.run, name)
        return f"failed: {read.failed}" if scores is None else scores

    @contextmanager
    def read_by(self, name: str) -> Iterator[tuple[Any, nn.Module]]:
        """Yield a method and the model that it read, on the CPU, with the number of threads of the scoring."""
        spec = self._inputs.test_scores(self.run, name)[0].spec
        checkpoint = Path(self.run.checkpoints[self.methods[name].model])
        with reproducible(spec.threads):
            model = trained_model(checkpoint, spec.checkpoint, self.images_path)
            yield registry.create("method", spec.method, spec.params), model
