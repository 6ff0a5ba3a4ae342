"""Which tables are right is a matter of content: clocks that are ahead or behind change nothing."""

import json
import os
import shutil
import time
from pathlib import Path

import pandas as pd
import pytest

from heldout.storage.sealed import write_sealed

pytestmark = pytest.mark.slow

YEAR_S = 365 * 24 * 3600
RUN = ("--configfile", "trial.yaml", "--quiet")


def at(folder: Path, moment: float) -> None:
    """Give every file below a folder one modification time."""
    for path in folder.rglob("*"):
        os.utime(path, (moment, moment))


def methods_in_tables(project) -> set[str]:
    tables = project.folder / "results" / "trial" / "tables"
    metrics = set(pd.read_csv(tables / "metrics.csv").method)
    text = (tables / "auroc.md").read_text()
    assert all((name in text) == (name in metrics) for name in ("adgan", "discriminator", "isolation_forest"))
    return metrics


FEWER = {"methods": {"mean_image": {}, "isolation_forest": {}}, "models": {}, "figures": ["roc"]}


def test_tables_from_the_future_follow_the_experiment(finished):
    at(finished.folder / "results" / "trial", time.time() + YEAR_S)
    finished.write("trial.yaml", **FEWER)
    finished.snakemake(*RUN, "--until", "evaluate")  # and then it is cut off
    at(finished.folder / "results" / "trial", time.time() + YEAR_S)
    finished.snakemake(*RUN)
    assert methods_in_tables(finished) == {"mean_image", "isolation_forest"}
    assert finished.planned("--configfile", "trial.yaml") == {}


def test_whatever_the_clocks_say_no_training_is_repeated_or_lost(finished):
    """As after a touch, a copy, a checkout by DVC, or a clock that was set back."""
    for shift in (-YEAR_S, 0, YEAR_S):
        for folder in ("data", "results"):
            at(finished.folder / folder, time.time() + shift)
        assert not {"train", "score", "prepare", "split"} & finished.planned("--configfile", "trial.yaml").keys()
    finished.write(
        "trial.yaml", **FEWER | {"methods": {"mean_image": {}, "mean_image-64": {"method": "mean_image", "block": 64}}}
    )
    finished.snakemake(*RUN)  # a new scoring, of images from the future
    assert methods_in_tables(finished) == {"mean_image", "mean_image-64"}


def test_scores_that_older_ones_replace_give_new_tables(finished):
    """As a checkout by DVC with links does: other scores of the same name, with an older time."""
    for spec in (finished.folder / "results" / "scores").rglob("mean_image-*.spec.json"):
        write_sealed(spec, json.loads(spec.read_text()) | {"sha256": "0" * 64})
        at(spec.parent, time.time() - YEAR_S)
    assert {"evaluate", "write_tables", "figure_roc"} <= finished.planned("--configfile", "trial.yaml").keys()


def test_what_is_damaged_between_runs_is_made_again(finished):
    folder = finished.folder / "results" / "trial"
    kept = shutil.copytree(folder, finished.folder / "kept")
    damaged = [next(folder.rglob(name)) for name in ("metrics.csv", "roc.csv", "tables-*.json", "inputs.json")]
    for path in damaged:
        content = path.read_bytes()
        path.write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
        os.utime(path, (1, 1))
    finished.snakemake(*RUN)
    for name in ("tables/metrics.csv", "tables/roc.csv", "tables/auroc.csv", "inputs.json"):
        assert (folder / name).read_bytes() == (kept / name).read_bytes()
    printed = finished.run("heldout", "verify")
    assert " 0 damaged" in printed
