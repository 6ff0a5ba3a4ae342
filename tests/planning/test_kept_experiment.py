"""The experiment that is kept beside its results plans the same files."""

from pathlib import Path

from heldout.planning import experiment_file, kept_experiment
from heldout.planning.plan import Plan
from heldout.planning.resolve import resolve
from tests.conftest import EXPERIMENT


def test_the_kept_experiment_plans_the_same_files_and_states_every_parameter(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    datasets = {"digits-2": {"dataset": "mnist5k", "test_items": 50}, "mnist5k": {}}
    plan = Plan(resolve(EXPERIMENT | {"datasets": datasets}, where="trial.yaml"))
    kept_experiment.keep(plan, ["trial.yaml"])
    content = experiment_file.load(Path("results/trial/experiment.yaml"))
    again = Plan(resolve(content, where="experiment.yaml"))
    assert again.steps.keys() == plan.steps.keys()
    assert content["methods"]["fanogan"].keys() > {"model", "block"} and content["bootstrap"] == 1000
    assert content["models"]["izi_encoder"]["parent"] == "dcgan"


def test_a_run_says_that_it_replaces_the_results_of_another_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    plan = Plan(resolve(EXPERIMENT, where="trial.yaml"))
    for _ in range(2):
        kept_experiment.keep(plan, ["trial.yaml"])
    assert not capsys.readouterr().err
    kept_experiment.keep(plan, ["other.yaml"])
    assert capsys.readouterr().err == (
        "heldout: results/trial held the results of trial.yaml; this run replaces them\n"
    )


def test_names_that_readers_of_yaml_differ_on_are_kept_as_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    classes = ["01", "0o7", "1e3", "yes", "12:30", "null", "true", "3"]
    folder = {"folder": "data/own", "classes": classes, "size": 32, "md5": "0" * 32}
    changes = {"datasets": {"image_folder": folder}, "held_out": ["01", "yes"]}
    plan = Plan(resolve(EXPERIMENT | changes, where="trial.yaml"), without_folders=True)
    kept_experiment.keep(plan, ["trial.yaml"])
    content = experiment_file.load(Path("results/trial/experiment.yaml"))
    assert content["datasets"]["image_folder"]["classes"] == classes
    assert Plan(resolve(content, where="experiment.yaml"), without_folders=True).steps.keys() == plan.steps.keys()
