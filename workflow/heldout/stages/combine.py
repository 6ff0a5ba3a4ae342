"""Combines the score files of several methods by a rule that is fitted to the scores of calibration images."""

import math
import time
from pathlib import Path
from typing import NamedTuple

import torch

from heldout import registry, shapes_no_number
from heldout.errors import HeldoutError, NumericalFailure, unknown
from heldout.numerics import scoring_steps
from heldout.storage.manifests import SCORED_PARTS, SplitManifest
from heldout.storage.score_files import Scores, read_scores
from heldout.storage.specs import ScoreSpec


class Combined(NamedTuple):
    score: list[float]
    fit_s: float
    ms_per_image: float


def combine(spec: ScoreSpec, manifest: SplitManifest, paths: list[Path]) -> Combined:
    """Return the combined score of every scored image, in the order of a score file.

    Args:
        spec: of the combination.
        manifest: of the split.
        paths: the score files of the methods, in any order.

    Raises:
        HeldoutError: a score file or one of its columns is missing.
        NumericalFailure: one of the methods failed, a component is constant over the calibration images, or a score is
            not finite.
    """
    rule = spec.params["by"]
    facts = registry.load("combination", rule).facts
    combination = registry.create("combination", rule, {key: spec.params[key] for key in spec.params if key != "by"})
    components = _components(spec, manifest, paths)
    parts = dict(zip(SCORED_PARTS, components.split([len(manifest.part(part)) for part in SCORED_PARTS]), strict=True))
    began = time.perf_counter()
    normal = parts["calibration"]
    if facts["is_fitted"] and not (normal.std(dim=0) > 0).all():
        raise NumericalFailure("a component is the same for all calibration images")
    labelled = parts["labelled_anomalies"] if facts["supervision"] else None
    fitted = combination.fit(normal, labelled, spec.seed)
    fit_s = round(time.perf_counter() - began, 3)
    began = time.perf_counter()
    score = scoring_steps.combined(combination, fitted, components).tolist()
    wall_s = time.perf_counter() - began
    if not all(map(math.isfinite, score)):
        raise NumericalFailure("a joined score is not finite")
    return Combined(score, fit_s, round(1000 * wall_s / len(components), 4))


@shapes_no_number
def _check_rows(scores: Scores, manifest: SplitManifest) -> None:
    """Raise HeldoutError unless a score file has one row of numbers for each image that the split scores."""
    columns, spec = scores.columns, scores.spec
    rows = zip(columns.get("index", []), columns.get("part", []), strict=False)
    numbers = (value for name, values in columns.items() if name != "part" for value in values)
    is_whole = sorted(map(str, rows)) == sorted(map(str, manifest.scored))
    if not is_whole or not all(isinstance(number, int | float) for number in numbers):
        raise HeldoutError(
            f"the scores {spec.method}-{spec.digest} do not have one row of numbers for each image of the split; "
            "delete them and run again"
        )


def _components(spec: ScoreSpec, manifest: SplitManifest, paths: list[Path]) -> torch.Tensor:
    """Return the columns that the combination names, `(images, components)` float64."""
    found = {scores.spec.digest: scores for scores in map(read_scores, paths)}
    components = []
    for join in spec.joins:
        if join.digest not in found:
            raise HeldoutError(f"the scores {join.digest} are planned, but not given; run snakemake again")
        scores = found[join.digest]
        if scores.failed:
            raise NumericalFailure(f"{scores.spec.method}: {scores.failed}")
        _check_rows(scores, manifest)
        if join.column not in scores.columns:
            there = [name for name in scores.columns if name not in ("index", "part")]
            raise unknown(f"of: {scores.spec.method}", "component", join.column, there)
        by_index = dict(zip(scores.columns["index"], scores.columns[join.column], strict=True))
        components.append([by_index[index] for index, _ in manifest.scored])
    return torch.tensor(components, dtype=torch.float64).T
