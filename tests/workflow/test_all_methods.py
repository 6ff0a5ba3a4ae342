"""Every model and every method, in a run of the experiment that has them all, with fewer updates and one class."""

import math

import pandas as pd
import pytest
import yaml

pytestmark = pytest.mark.slow(minutes=2)


def test_every_method_on_every_model_gets_a_number(project):
    path = project.shorten("all-methods-small", held_out=[1], test_items=30)
    project.snakemake("--configfile", path)
    table = pd.read_csv(project.folder / "results" / "all-methods-small" / "tables" / "metrics.csv")
    table = table.set_index(["held_out", "method"])
    experiment = yaml.safe_load((project.folder / path).read_text(encoding="utf-8"))
    told = {"kde-oracle": "kde-oracle (oracle)", "joined-by-labels": "joined-by-labels (semi-supervised)"}
    assert set(table.index.get_level_values("method")) == {told.get(name, name) for name in experiment["methods"]}
    assert table.failed.isna().all() and table.auroc.between(0, 1).all()
    # What is told nothing tells a 1 from other digits somehow: a floor that fails here would be a fault of ours.
    assert table.auroc["1", "mean_image"] > 0.5 and math.isfinite(table.auroc["mean", "combine"])
    assert "Nothing to be done" in project.snakemake("--configfile", path)
