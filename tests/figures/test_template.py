"""The template of a figure works as a figure once it is copied."""

import importlib.util
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from heldout import figures, registry
from heldout.evaluation.evaluate import evaluate
from heldout.storage.report_inputs import Subject


def test_a_copy_of_the_template_draws_what_its_table_says(inputs, monkeypatch):
    path = Path(figures.__file__).with_name("_template.py")
    spec = importlib.util.spec_from_file_location("heldout.figures.my_figure", path)
    monkeypatch.setitem(registry.REGISTERED, "figure", {})
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    evaluate(inputs.path)
    draws = registry.REGISTERED["figure"]["my_figure"].plugin
    figure = draws(inputs, Subject(stem="my_figure-cat", dataset="toys", held_out="cat"))
    (ax,) = figure.axes
    table = pd.read_csv("results/trial/tables/metrics.csv")
    table = table[table.held_out == "cat"].set_index("method")
    names = [label.get_text() for label in ax.get_yticklabels()]
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], table.auroc.astype(float)[names])
    assert set(names) == set(inputs.methods) and table.auroc.isna().sum() == 1  # the one that has failed
    plt.close(figure)


@pytest.mark.parametrize("kind", registry.names("figure"))
def test_every_figure_is_a_function_of_the_inputs_and_a_subject(kind):
    plugin = registry.load("figure", kind).plugin
    assert plugin.__name__ == kind
    assert plugin.__annotations__.keys() == figures.Draws.__call__.__annotations__.keys()
