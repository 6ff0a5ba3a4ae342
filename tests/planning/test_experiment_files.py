"""The experiment files that come with the project are valid."""

import pytest
import yaml

from heldout.planning.plan import Plan
from heldout.planning.resolve import resolve
from tests.conftest import REPOSITORY

FILES = sorted((REPOSITORY / "workflow" / "experiments").glob("*.yaml"))
SMALL = "all-methods-small"


def planned(name: str) -> Plan:
    path = REPOSITORY / "workflow" / "experiments" / f"{name}.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return Plan(resolve(content, where=path.name), without_folders=True)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_experiment_can_be_planned_under_its_files_name(path):
    plan = planned(path.stem)
    assert plan.settings.experiment == path.stem
    assert f"--configfile workflow/experiments/{path.name}" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", [path for path in FILES if "-small" not in path.stem], ids=lambda path: path.stem)
def test_a_small_variant_has_the_same_protocol_and_a_part_of_the_classes(path):
    small = path.with_stem(f"{path.stem}-small")
    if not small.is_file():
        assert path.stem in ("fashion-mnist-2000", "mnist-every-model")  # sized to two cores themselves
        return
    large, small = planned(path.stem).experiment, planned(small.stem).experiment
    assert small.settings.protocol == large.settings.protocol
    assert set(small.settings.figures) == set(large.settings.figures)
    assert {dataset.split.variant for dataset in small.datasets.values()} == {
        dataset.split.variant for dataset in large.datasets.values()
    }
    for name in set(small.held_out) & set(large.held_out):
        assert set(small.held_out[name]) <= set(large.held_out[name])


def test_every_trained_model_of_the_small_experiment_is_read_by_a_method():
    experiment = planned(SMALL).experiment
    read = {entry.model for entry in (*experiment.models.values(), *experiment.methods.values())}
    assert set(experiment.models) <= read
