"""From an experiment to files: what a change renames, and what it leaves alone."""

import json
import re
import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake.io import is_flagged

from heldout.errors import HeldoutError
from heldout.planning import experiment, inputs_json
from heldout.planning.plan import Plan
from heldout.planning.resolve import resolve
from heldout.planning.wiring import Wiring
from heldout.storage import hashing
from heldout.storage.specs import Join

BASE = {
    "experiment": "trial",
    "datasets": {"mnist5k": {}},
    "held_out": [1, 8],
    "models": {"wgan": {}, "dcgan": {}},
    "methods": {"adgan": {}, "anogan": {}, "prior": {}, "isolation_forest": {}, "mean_image": {}},
}


def planned(**changes: object) -> dict[str, set[str]]:
    """The files of a plan by the plug-in that makes them, and by rule."""
    plan = Plan(resolve({**BASE, **changes}, where="trial.yaml"))
    files: dict[str, set[str]] = {"prepare": set(plan.images), "split": set(plan.splits)}
    for path in (*plan.checkpoints, *plan.scores):
        files.setdefault(re.search(r"(\w+)-[0-9a-f]{12}\.", path)[1], set()).add(path)
    return files


def changed(**changes: object) -> set[str]:
    """The kinds of files of which a change names any anew."""
    before, after = planned(), planned(**changes)
    return {kind for kind in before.keys() | after.keys() if after.get(kind, set()) - before.get(kind, set())}


EVERY_SCORE = {"adgan", "anogan", "prior", "isolation_forest", "mean_image"}


def with_method(name: str, **params: object) -> dict[str, dict[str, object]]:
    return {"methods": BASE["methods"] | {name: params}}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, set()),
        ({"experiment": "other"}, set()),
        ({"bootstrap": 2000}, set()),
        ({"device": "cpu"}, set()),
        ({"jobs_per_gpu": 1}, set()),
        ({"memory": 1000}, set()),
        ({"mirror": "/elsewhere"}, set()),
        ({"held_out": [8, 1]}, set()),
        ({"held_out": ["1", "8"]}, set()),
        ({"held_out": [1]}, set()),
        (with_method("adgan", steps=5), set()),  # the default, written out
        (with_method("adgan", theta_lr="5e-5"), set()),
        (with_method("adgan", steps=6), {"adgan"}),
        (with_method("adgan", model="dcgan"), {"adgan"}),
        (with_method("anogan", steps=100), {"anogan"}),
        ({"models": {"wgan": {"learning_rate": 1e-4}, "dcgan": {}}}, {"wgan", "adgan", "prior"}),
        ({"models": {"wgan": {}, "dcgan": {"steps": 9}}}, {"dcgan", "anogan"}),
        ({"precision": "bfloat16"}, {"wgan", "dcgan", "adgan", "anogan", "prior"}),
        ({"seeds": [1]}, {"wgan", "dcgan"} | EVERY_SCORE),
        ({"threads": 2}, {"wgan", "dcgan"} | EVERY_SCORE),
        ({"held_out": [1, 8, 3]}, {"split", "wgan", "dcgan"} | EVERY_SCORE),
        ({"split_seed": 1}, {"split", "wgan", "dcgan"} | EVERY_SCORE),
        ({"train_items": 100}, {"split", "wgan", "dcgan"} | EVERY_SCORE),
        ({"labelled_anomalies": 9}, {"split", "wgan", "dcgan"} | EVERY_SCORE),
        ({"protocol": "leave_one_out"}, {"split", "wgan", "dcgan"} | EVERY_SCORE),
        ({"test_items": 100}, {"split", "wgan", "dcgan"} | EVERY_SCORE),
        ({"calibration": 0.1}, {"split", "wgan", "dcgan"} | EVERY_SCORE),
        ({"datasets": {"mnist5k": {"size": 64}}}, {"prepare", "split", "wgan", "dcgan"} | EVERY_SCORE),
    ],
)
def test_a_change_renames_what_it_touches_and_nothing_else(changes, expected):
    assert changed(**changes) == expected


def test_names_carry_what_a_file_is():
    plan = Plan(resolve(BASE, where="trial.yaml"))
    digits = r"[0-9a-f]{12}"
    assert all(re.fullmatch(rf"data/prepared/mnist5k-{digits}\.npy", path) for path in plan.images)
    assert all(re.fullmatch(rf"data/splits/mnist5k/one_class/[18]/seed0-{digits}\.json", path) for path in plan.splits)
    folder = "results/checkpoints/mnist5k/one_class/[18]/seed0"
    assert all(re.fullmatch(rf"{folder}/(wgan|dcgan)-{digits}\.safetensors", path) for path in plan.checkpoints)
    assert len(plan.checkpoints) == 4 and len(plan.scores) == 10


def test_two_datasets_share_no_file_even_if_one_is_a_variant_of_the_other():
    several = {"datasets": {"small": {"dataset": "mnist5k"}, "large": {"dataset": "mnist5k", "size": 64}, "mnist": {}}}
    plan = Plan(resolve(BASE | several, where="trial.yaml"))
    assert (len(plan.images), len(plan.checkpoints), len(plan.scores)) == (3, 12, 30)
    drawn = [path for paths in plan.figures.values() for path in paths]
    assert len(set(drawn)) == len(drawn)
    assert f"{plan.folder}/figures/roc-small-1.svg" in drawn and f"{plan.folder}/figures/roc-mnist-all.png" in drawn


def test_two_entries_with_one_spec_share_a_file():
    twice = {"methods": {"adgan": {}, "again": {"method": "adgan", "steps": 5}}}
    plan = Plan(resolve(BASE | twice, where="trial.yaml"))
    assert len(plan.scores) == 2


def test_a_spec_is_canonical_json_whose_digest_is_in_the_name():
    plan = Plan(resolve(BASE, where="trial.yaml"))
    for path in (*plan.images, *plan.splits, *plan.checkpoints, *plan.scores):
        digest = re.search(r"-([0-9a-f]{12})\.", path)[1]
        text = Wiring(plan).spec(SimpleNamespace(digest=digest))
        assert hashing.digest(json.loads(text)) == digest
        assert hashing.canonical(json.loads(text)) == text


def test_a_digest_of_no_planned_file_is_named():
    plan = Plan(resolve(BASE, where="trial.yaml"))
    with pytest.raises(HeldoutError, match="trial has no file with the digest 000000000000"):
        Wiring(plan).step(SimpleNamespace(digest="0" * 12))


def test_the_list_of_inputs_is_planned_beside_and_leaves_the_experiments_folder_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = Plan(resolve(BASE, where="trial.yaml"))
    first = inputs_json.write(plan)
    assert not (tmp_path / "results" / "trial").exists()
    (tmp_path / "results" / "trial" / "records").mkdir(parents=True)
    shutil.copy(first.inputs, plan.inputs)  # as the rule does
    shutil.copy(first.record, first.records["inputs"])
    written = (tmp_path / first.inputs).stat().st_mtime_ns
    assert inputs_json.write(plan) == first
    assert (tmp_path / first.inputs).stat().st_mtime_ns == written
    other = inputs_json.write(Plan(resolve(BASE | {"bootstrap": 200}, where="trial.yaml")))
    assert other.inputs != first.inputs and other.records.keys() == first.records.keys()
    assert not set(other.records.values()) & set(first.records.values())
    assert inputs_json.write(plan) == first
    Path(plan.inputs).write_text("{}")  # it is copied anew
    assert inputs_json.write(plan).records["inputs"] != first.records["inputs"]


def test_a_file_that_is_there_needs_no_input_that_is_gone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = Plan(resolve(BASE, where="trial.yaml"))
    wiring, training = Wiring(plan), plan.runs[0].trainings["wgan"]
    wanted = SimpleNamespace(digest=training.digest)

    def touch(path: str) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()

    def inputs() -> list[str]:
        return list(wiring.inputs("images", "split")(wanted).values())

    images, split = training.images.path, training.split.path
    assert inputs() == [images, split]
    touch(training.path)
    assert inputs() == [images, split]  # what belongs beside it is not there: it is to be made
    for kind in ("spec.json", "history.csv", "timing.json"):
        touch(training.path.replace("safetensors", kind))
    assert inputs() == [[], []]
    touch(split)
    assert inputs() == [[], split]
    touch(images)
    touch(images.replace("npy", "labels.csv"))
    assert inputs() == [[], split]  # nobody knows its hash
    touch(images.replace("npy", "spec.json"))
    assert inputs() == [images, split]


def test_the_age_of_an_input_does_not_count():
    plan = Plan(resolve(BASE, where="trial.yaml"))
    step = plan.runs[0].scorings["adgan"]
    found = Wiring(plan).inputs("images", "split", "checkpoint")(SimpleNamespace(digest=step.digest))
    assert found == {"images": step.images.path, "split": step.split.path, "checkpoint": step.checkpoint.path}
    assert all(is_flagged(path, "ancient") for path in found.values())


def test_a_scoring_without_a_model_asks_for_no_gpu():
    plan = Plan(resolve(BASE | {"device": "cuda"}, where="trial.yaml"))
    run = plan.runs[0]
    gpus = {
        name: Wiring(plan).gpus_to_score(SimpleNamespace(digest=step.digest)) for name, step in run.scorings.items()
    }
    assert gpus == {"adgan": 1, "anogan": 1, "prior": 1, "isolation_forest": 0, "mean_image": 0}


def test_a_scoring_without_a_network_runs_on_the_cpu_whatever_the_device():
    plan = Plan(resolve(BASE | {"device": "cuda:1"}, where="trial.yaml"))
    steps = plan.runs[0].scorings
    devices = {}
    for name, step in steps.items():
        given = SimpleNamespace(checkpoint=step.checkpoint and step.checkpoint.path, joined=[], weights=[])
        words = shlex.split(Wiring(plan).to_score(SimpleNamespace(digest=step.digest), given))
        devices[name] = words[words.index("--device") + 1]
    assert devices == {
        **dict.fromkeys(("adgan", "anogan", "prior"), "cuda:1"),
        **dict.fromkeys(("isolation_forest", "mean_image"), "cpu"),
    }


def test_jobs_ask_for_a_gpu_only_where_one_would_be_used(monkeypatch):
    def gpus(device: str) -> int:
        return Wiring(Plan(resolve(BASE | {"device": device}, where="trial.yaml"))).gpus

    monkeypatch.setattr("heldout.planning.wiring._has_gpu", lambda: True)
    assert (gpus("cpu"), gpus("auto"), gpus("cuda:1")) == (0, 1, 1)
    monkeypatch.setattr("heldout.planning.wiring._has_gpu", lambda: False)
    assert (gpus("cpu"), gpus("auto"), gpus("cuda")) == (0, 0, 1)


def test_the_mirror_may_come_from_the_environment(monkeypatch):
    monkeypatch.setenv(experiment.MIRROR_VARIABLE, "/from/environment")
    assert Wiring(Plan(resolve(BASE, where="trial.yaml"))).mirror == "/from/environment"
    assert Wiring(Plan(resolve(BASE | {"mirror": "/from/file"}, where="trial.yaml"))).mirror == "/from/file"


COMBINED = {
    "calibration": 0.1,
    "labelled_anomalies": 9,
    "methods": {
        "both": {"method": "combine", "of": ["adgan", "mean_image"]},
        "told": {"method": "combine", "of": ["anogan:residual", "adgan"], "by": "logistic"},
        **BASE["methods"],
    },
}


def combined(**changes: object) -> Plan:
    return Plan(resolve({**BASE, **COMBINED, **changes}, where="trial.yaml"))


def test_a_combination_reads_the_scores_it_names_and_changes_with_them():
    scorings = combined().runs[0].scorings
    joined = [Join(digest=scorings[name].digest, column="score") for name in ("adgan", "mean_image")]
    assert list(scorings["both"].spec.joins) == joined
    assert scorings["told"].spec.joins[0] == Join(digest=scorings["anogan"].digest, column="residual")
    plan = combined()
    found = Wiring(plan).inputs("checkpoint", "joined")(SimpleNamespace(digest=scorings["both"].digest))
    assert found == {"checkpoint": [], "joined": [scorings["adgan"].path, scorings["mean_image"].path]}
    methods = COMBINED["methods"] | {"adgan": {"steps": 6}}
    after = combined(methods=methods).runs[0].scorings
    assert {name for name in after if after[name].digest != scorings[name].digest} == {"adgan", "both", "told"}


def test_fixed_weights_need_no_calibration_images():
    methods = BASE["methods"] | {"both": {"method": "combine", "of": ["adgan", "prior"], "by": "fixed"}}
    assert combined(calibration=0, methods=methods).runs[0].scorings["both"].spec.joins


def test_a_runs_entries_stand_in_the_experiments_order_whatever_needs_what():
    models = {"izi_encoder": {"parent": "dcgan"}, **BASE["models"]}
    run = combined(models=models).runs[0]
    assert list(run.trainings) == [*models] and list(run.scorings) == [*COMBINED["methods"]]
    assert run.trainings["izi_encoder"].parent == run.trainings["dcgan"]


def test_networks_ask_for_a_gpu_and_detectors_on_pixels_do_not():
    methods = {"kde": {}, "deep": {"method": "kde", "features": "efficientnet"}, "adgan": {}}
    plan = combined(methods=methods, device="cuda")
    asked = {
        name: Wiring(plan).gpus_to_score(SimpleNamespace(digest=step.digest))
        for name, step in plan.runs[0].scorings.items()
    }
    assert asked == {"kde": 0, "deep": 1, "adgan": 1}


def test_what_learns_from_labels_says_so_in_every_table():
    plan = combined()
    assert plan.runs[0].scorings["told"].spec.supervision == "semi-supervised"
    assert plan.runs[0].scorings["both"].spec.supervision == ""
    by_way_of_another = {"method": "combine", "of": ["kde", "mean_image"]}
    methods = BASE["methods"] | {"indirect": by_way_of_another, "kde": {"pca": "oracle"}}
    assert "indirect (oracle)" in inputs_json.content(combined(methods=methods)).methods
    shown = inputs_json.content(plan)
    assert "told (semi-supervised)" in shown.methods and "both" in shown.methods
    assert set(shown.runs[0].scores) == set(shown.methods)


def test_only_the_figures_that_are_asked_for_are_drawn():
    def drawn(**changes: object) -> dict[str, list[str]]:
        return Plan(resolve(BASE | changes, where="trial.yaml")).figures

    assert list(drawn()) == ["roc", "scores", "samples"]
    assert drawn(figures=[]) == {}
    figures = drawn(figures=["gallery", "roc"])
    assert list(figures) == ["gallery", "roc"]
    assert figures["gallery"] == [
        f"results/trial/figures/gallery-{n}.{form}" for n in (1, 8) for form in ("svg", "png")
    ]


def test_a_figure_asks_for_every_file_that_it_reads():
    kinds = {"figures": ["samples", "gallery", "heatmaps"]}
    plan = Plan(resolve(BASE | kinds, where="trial.yaml"))
    wiring = Wiring(plan)
    assert (wiring.reads("gallery", "tables"), wiring.reads("gallery", "checkpoints")) == ([], [])
    assert wiring.reads("gallery", "scores") == wiring.reads("heatmaps", "scores") == plan.scores
    assert wiring.reads("samples", "scores") == wiring.reads("samples", "labels") == []
    assert {*plan.labels, *plan.images, *plan.splits} == set(wiring.reads("gallery", "labels"))
    assert {*plan.checkpoints, *plan.images, *plan.splits} == set(wiring.reads("heatmaps", "checkpoints"))


def test_another_kind_of_figure_leaves_the_source_of_the_others_alone():
    default, more = (
        inputs_json.content(Plan(resolve(BASE | changes, where="trial.yaml")))
        for changes in ({}, {"figures": ["roc", "scores", "samples", "heatmaps"]})
    )
    assert more.source.keys() - default.source.keys() == {"figures.heatmaps"}
    assert more.figures.pop("heatmaps")[0].methods == ["adgan", "anogan"]
    assert more.figures == default.figures


def test_a_message_names_the_entries_that_a_step_is_for_where_several_use_one_dataset():
    digits = {"dataset": "digits"}
    few, more = digits | {"test_items": 50}, digits | {"test_items": 60}
    datasets = {"few": few, "more": more, "same": more}
    plan = Plan(resolve({**BASE, "datasets": datasets, "held_out": [1]}, where="trial.yaml"))
    wiring = Wiring(plan)
    named = [wiring.entries(SimpleNamespace(digest=run.split.digest)) for run in plan.runs]
    assert named == ["few", "more, same", "more, same"]
