"""What the quickstart promises, read from a run of it: `pytest --quickstart=results/quickstart`."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.conftest import REPOSITORY


@pytest.fixture
def results(request) -> Path:
    folder = request.config.getoption("quickstart")
    if folder is None:
        pytest.skip("--quickstart names no folder with its results")
    return folder


def test_adgan_stands_above_the_floor(results):
    mean = pd.read_csv(results / "tables" / "auroc.csv").set_index("held_out").loc["mean"]
    assert mean.adgan > mean.mean_image
    assert mean.adgan_low > mean.mean_image  # by more than the draw of test images explains


def test_every_method_and_class_of_config_yaml_is_in_the_table(results):
    experiment = yaml.safe_load((REPOSITORY / "config.yaml").read_text(encoding="utf-8"))
    table = pd.read_csv(results / "tables" / "auroc.csv")
    assert table.held_out.tolist() == [*map(str, experiment["held_out"]), "mean"]
    assert table[list(experiment["methods"])].notna().all().all()


def test_the_readme_shows_these_numbers(results):
    """README's table is that of a run; seeds and threads are fixed, so another run of the same code gives it too."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    table = json.loads((results / "metrics.json").read_text())["mnist5k"]
    for method in ("mean_image", "isolation_forest", "kde"):  # what is iterated may differ between processors
        for held_out in table:
            assert f"{table[held_out][method]['auroc']:.3f} [" in readme
