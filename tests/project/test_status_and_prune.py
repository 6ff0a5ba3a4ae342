"""What is there, what is missing, what nobody names; and that pruning takes the last alone."""

import json
from pathlib import Path

import pytest
import yaml

from heldout.errors import HeldoutError
from heldout.planning.kept_experiment import keep
from heldout.project import inventory, prune
from heldout.project.status import status, tables
from heldout.project.text import readable
from tests.project.conftest import EXPERIMENT, make, planned

REASON = "the critic loss is nan at step 3"


def rows(text: str) -> list[list[str]]:
    """The table's cells, by two or more spaces."""
    return [
        [cell.strip() for cell in line.strip().split("  ") if cell] for line in text.splitlines() if "mnist5k" in line
    ]


def test_each_cell_says_present_missing_or_failed(folder):
    plan = planned()
    one, eight = plan.runs
    size = sum(path.stat().st_size for path in make(one.trainings["wgan"], wall_s=125).parent.iterdir())
    make(eight.trainings["wgan"], failed=REASON)
    make(eight.scorings["adgan"], failed=f"wgan: {REASON}")
    text = status(inventory.experiments())
    assert rows(text) == [
        ["mnist5k", "1", "0", f"present {readable(size)}", "missing ?", "missing ?"],
        ["mnist5k", "8", "0", "failed", "missing ?", "failed"],
    ]
    assert "1 present and 2 failed" in text and "3 missing: 3 without an estimate" in text
    assert "foreign: none" in text


def test_a_published_experiment_whose_image_folder_is_missing_is_left_out_and_named(folder, capsys):
    shoes = {"dataset": "image_folder", "folder": "data/shoes", "classes": ["old", "new"]}
    changed = yaml.safe_dump(EXPERIMENT | {"experiment": "shoes", "datasets": {"shoes": shoes}, "held_out": ["old"]})
    Path("workflow/experiments").mkdir(parents=True)
    Path("workflow/experiments/shoes.yaml").write_text(changed)
    assert len(inventory.experiments()) == 1
    assert capsys.readouterr().err == "left out because their image folders are missing: shoes.yaml\n"
    Path("shoes.yaml").write_text(changed)  # one of the user's own is not
    with pytest.raises(HeldoutError, match="the image folder data/shoes is missing"):
        inventory.experiments()


def test_what_is_missing_is_estimated_from_what_ran(folder):
    run = planned().runs[0]
    make(run.trainings["wgan"], wall_s=100)
    make(run.scorings["adgan"], ms_per_image=30)
    (longer,) = rows(status(inventory.experiments()))[1:]
    assert longer[3:] == ["missing ~01:40", "missing ?", "missing ~00:03"]  # 100 s; 100 images of 30 ms
    changed = EXPERIMENT | {"models": {"wgan": {"steps": 25, "width": 4}}}
    Path("config.yaml").write_text(yaml.safe_dump(changed, sort_keys=False))
    text = status(inventory.experiments())
    assert [row[3] for row in rows(text)[:2]] == ["missing ~04:10"] * 2  # two and a half times the steps
    assert "6 missing: ~08:20 on one core, estimated from earlier timings, and 4 without an estimate" in text


def test_a_failed_training_lends_its_time_to_no_estimate(folder):
    make(planned().runs[0].trainings["wgan"], failed=REASON)
    assert "missing ?" in rows(status(inventory.experiments()))[1][3]


def test_a_file_without_what_belongs_beside_it_is_missing(folder):
    path = make(planned().runs[0].trainings["wgan"])
    path.with_suffix(".history.csv").unlink()
    assert rows(status(inventory.experiments()))[0][3].startswith("missing")


def test_foreign_files_are_counted_by_run(folder):
    for step in planned(seeds=[0, 3]).trained_and_scored:
        make(step)
    text = status(inventory.experiments()).partition("foreign: ")[2]
    assert [row[:3] for row in rows(text)] == [
        [f"mnist5k/one_class/{held_out}/seed3", name, "1"]
        for held_out in "18"
        for name in ("adgan", "mean_image", "wgan")
    ]


def test_status_is_about_config_yaml_and_what_has_results_or_about_the_file_that_is_named(folder, capsys):
    """The experiments that come with the project count for what is foreign, and are not listed before they have run."""
    Path("workflow/experiments").mkdir(parents=True)
    for name in ("ran", "never_ran"):
        changed = EXPERIMENT | {"experiment": name, "seeds": [7]}
        Path("workflow/experiments", f"{name}.yaml").write_text(yaml.safe_dump(changed, sort_keys=False))
    Path("results/ran").mkdir(parents=True)
    keep(planned(experiment="elsewhere", seeds=[8]), ["/home/somebody/elsewhere.yaml"])
    Path("results/old").mkdir()
    Path("results/old/experiment.yaml").write_text("experiment: old\nretired: 1\n")
    for step in planned(seeds=[7]).trained_and_scored:
        make(step)
    text = status(inventory.experiments())
    titles = [line.partition(",")[0] for line in text.splitlines() if line.endswith(", one_class")]
    assert titles == [
        "quickstart (config.yaml)",
        "ran (workflow/experiments/ran.yaml)",
        "elsewhere (results/elsewhere/experiment.yaml)",
    ]
    assert "foreign: none" in text and "no key 'retired'" in capsys.readouterr().err
    alone = tables([inventory.experiment(Path("workflow/experiments/never_ran.yaml"))])
    assert alone.startswith("never_ran (") and "quickstart" not in alone and "foreign" not in alone


def test_prune_takes_what_no_experiment_names_and_nothing_else(folder):
    named = {make(step) for step in planned().trained_and_scored}
    foreign = {make(step) for step in planned(seeds=[3]).trained_and_scored}
    log = Path("results/logs/train/mnist5k/one_class/1/seed3") / f"{sorted(foreign)[0].stem}.log"
    log.parent.mkdir(parents=True)
    log.touch()
    own = [Path("data/raw/mnist5k/fetched.json"), Path("data/own-0123456789ab.png"), Path("notes-0123456789ab.txt")]
    for path in own:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    entries = prune.superfluous(inventory.experiments())
    assert {entry.own for entry in entries} == foreign | {log}
    assert prune.delete(entries) == prune.Pruned(sum(len(entry.files) for entry in entries), recorded=0)
    left = {path for path in Path("results").rglob("*") if path.is_file()}
    assert named <= left and not any("seed3" in str(path) for path in left)
    assert all(path.is_file() for path in own)
    assert prune.superfluous(inventory.experiments()) == []


@pytest.mark.parametrize("keeper", ["manifest.json", "inputs.json", "other.yaml", "workflow/experiments/other.yaml"])
def test_what_another_experiment_is_made_from_stays(folder, keeper):
    plan = planned(seeds=[3])
    for step in plan.trained_and_scored:
        make(step)
    if keeper.endswith(".json"):
        record = Path("results/other") / keeper
        record.parent.mkdir()
        record.write_text(json.dumps({"made_from": [step.path for step in plan.trained_and_scored]}))
    else:
        Path(keeper).parent.mkdir(parents=True, exist_ok=True)
        Path(keeper).write_text(yaml.safe_dump(EXPERIMENT | {"experiment": "other", "seeds": [3]}, sort_keys=False))
    assert prune.superfluous(inventory.experiments()) == []


def test_an_experiment_elsewhere_counts_when_it_is_given(folder, tmp_path):
    for step in planned(seeds=[3]).trained_and_scored:
        make(step)
    elsewhere = tmp_path / "elsewhere" / "mine.yaml"
    elsewhere.parent.mkdir()
    elsewhere.write_text(yaml.safe_dump(EXPERIMENT | {"seeds": [3]}, sort_keys=False))
    assert prune.superfluous(inventory.experiments())
    assert prune.superfluous(inventory.experiments([elsewhere])) == []


def test_recorded_failures_are_listed_apart(folder):
    one, eight = planned().runs
    make(one.trainings["wgan"])
    failed = {make(eight.trainings["wgan"], failed=REASON), make(eight.scorings["adgan"], failed=REASON)}
    assert {entry.own for entry in prune.failures()} == failed
    prune.delete(prune.failures())
    assert one.trainings["wgan"].is_made and not eight.trainings["wgan"].is_made


def test_nothing_is_deleted_under_a_running_snakemake(folder):
    path = make(planned(seeds=[3]).runs[0].trainings["wgan"])
    Path(".snakemake/locks").mkdir(parents=True)
    Path(".snakemake/locks/0.input.lock").touch()
    with pytest.raises(HeldoutError, match="a Snakemake run holds this folder; wait until it ends"):
        prune.delete(prune.superfluous(inventory.experiments()))
    assert path.is_file()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("experiment: x\nmehtods: {adgan: {}}\ndatasets: {mnist5k: {}}\n", "did you mean 'methods'"),
        ("experiment: x\nsedes: [1]\ndatasets: {mnist5k: {}}\nmethods: {adgan: {}}\n", "did you mean 'seeds'"),
        ("experiment: [", "other.yaml, line 1: it is not YAML"),
    ],
)
def test_an_experiment_with_a_mistake_is_named_before_anything_is_called_foreign(folder, text, message):
    Path("other.yaml").write_text(text)
    with pytest.raises(HeldoutError, match=message):
        inventory.experiments()


def test_other_tools_files_are_passed_over_unless_given(folder):
    Path("other.yaml").write_text("repos: []\n")
    assert len(inventory.experiments()) == 1
    Path("words.yaml").write_text("just words\n")
    with pytest.raises(HeldoutError, match="words.yaml is not an experiment file: it needs keys and values"):
        inventory.experiments([Path("words.yaml")])


def test_a_model_and_a_method_of_one_name_have_a_column_each(folder):
    twice = EXPERIMENT | {"models": {"adgan": {"model": "wgan"}}, "methods": {"adgan": {"model": "adgan"}}}
    Path("config.yaml").write_text(yaml.safe_dump(twice, sort_keys=False))
    assert len(rows(status(inventory.experiments()))[0]) == 3 + 2


def test_outside_a_project_the_error_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HeldoutError, match="no config.yaml here; run this in the project's folder"):
        inventory.experiments()


def test_unfinished_counts_what_config_yaml_lacks(folder):
    assert inventory.unfinished() == 6
    make(planned().runs[0].trainings["wgan"])
    assert inventory.unfinished() == 5
