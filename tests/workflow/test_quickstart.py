"""What the quickstart promises, read from a run of it in this folder: `snakemake --cores all`, then pytest."""

import json

import pandas as pd
import pytest
import yaml

from tests.conftest import REPOSITORY

RESULTS = REPOSITORY / "results" / "quickstart"

pytestmark = pytest.mark.skipif(not (RESULTS / "manifest.json").is_file(), reason="the quickstart has not run here")


def test_adgan_stands_above_the_floor():
    mean = pd.read_csv(RESULTS / "tables" / "auroc.csv").set_index("held_out").loc["mean"]
    assert mean.adgan > mean.mean_image
    assert mean.adgan_low > mean.mean_image  # by more than the draw of test images explains


def test_every_method_and_class_of_config_yaml_is_in_the_table():
    experiment = yaml.safe_load((REPOSITORY / "config.yaml").read_text(encoding="utf-8"))
    table = pd.read_csv(RESULTS / "tables" / "auroc.csv")
    assert table.held_out.tolist() == [*map(str, experiment["held_out"]), "mean"]
    assert table[list(experiment["methods"])].notna().all().all()


def test_the_readme_shows_these_numbers():
    """README's table is that of a run; seeds and threads are fixed, so another run of the same code gives it too."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    table = json.loads((RESULTS / "metrics.json").read_text())["mnist5k"]
    for method in ("mean_image", "isolation_forest", "kde"):  # what is iterated may differ between processors
        for held_out in table:
            assert f"{table[held_out][method]['auroc']:.3f} [" in readme
