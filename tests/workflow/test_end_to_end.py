"""The workflow as its users run it, on real digits: what appears, what a change asks for, what a rerun leaves alone."""

import json
import os
import re
import shutil
import signal
import time

import numpy as np
import pandas as pd
import pytest

from tests.workflow.conftest import TRIAL

pytestmark = pytest.mark.slow


def test_tables_and_figures_appear(finished):
    folder = finished.folder / "results" / "trial"
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    tables = {"metrics.csv", "roc.csv", "histograms.csv", "runtime.csv"}
    tables |= {f"{metric}.{form}" for metric in ("auroc", "auprc") for form in ("csv", "md", "tex")}
    stems = {"roc-1", "roc-8", "roc-all", "scores-1", "scores-8", "samples-wgan", "samples-dcgan"}
    expected = {f"tables/{name}" for name in (*tables, "runtime.md")}
    expected |= {f"figures/{stem}.{form}" for stem in stems for form in ("svg", "png")}
    records = {name.partition("-")[0] for name in names if name.startswith("records/")}
    steps = ("inputs", "evaluate", "tables", "figure_roc", "figure_scores", "figure_samples", "manifest")
    assert records == {f"records/{step}" for step in steps}
    names = {name for name in names if not name.startswith("records/")}
    assert names == expected | {"inputs.json", "metrics.json", "manifest.json", "experiment.yaml"}
    table = pd.read_csv(folder / "tables" / "auroc.csv")
    assert table.held_out.tolist() == ["1", "8", "mean"]
    assert table[list(TRIAL["methods"])].notna().all().all()


def test_isolation_forest_and_floor_equal_a_ten_line_script(finished):
    from sklearn.ensemble import IsolationForest
    from sklearn.metrics import roc_auc_score

    images = np.load(next((finished.folder / "data" / "prepared").glob("*.npy")))
    x = images.reshape(len(images), -1) / 127.5 - 1
    y = pd.read_csv(next((finished.folder / "data" / "prepared").glob("*.labels.csv")))["class"].astype(str)
    table = pd.read_csv(finished.folder / "results" / "trial" / "tables" / "auroc.csv").set_index("held_out")
    for path in (finished.folder / "data" / "splits").rglob("*.json"):
        split = json.loads(path.read_text())
        train, test, anomalous = x[split["train"]], x[split["test"]], y[split["test"]] != split["held_out"]
        forest = -IsolationForest(random_state=0).fit(train).score_samples(test)
        floor = ((test - train.mean(axis=0)) ** 2).sum(axis=1)
        row = table.loc[split["held_out"]]
        assert row.isolation_forest == pytest.approx(roc_auc_score(anomalous, forest), abs=1e-6)
        assert row.mean_image == pytest.approx(roc_auc_score(anomalous, floor), abs=1e-6)


def test_a_second_run_has_nothing_to_do_and_the_timeline_accounts_for_every_second_of_the_first(finished):
    assert "Nothing to be done" in finished.snakemake("--configfile", "trial.yaml")
    printed = finished.run("heldout", "timeline", "trial.yaml")
    # Four scorings and two trainings for each of two digits; the run that had nothing to do counts for nothing.
    assert "trial (trial.yaml): 12 of 12 trainings and scorings in its last run here" in printed
    seconds = int(re.search(r", (\d+) s on 2 cores", printed)[1])
    rows = re.findall(r"^  \S.*  (\d+) +[\d.]+%$", printed, re.MULTILINE)
    assert sum(map(int, rows)) == pytest.approx(2 * seconds, abs=4) and len(rows) == 5
    bars = pd.read_csv(finished.folder / "results" / "trial" / "tables" / "timeline.csv")
    benchmarks = list((finished.folder / "results" / "benchmarks").rglob("*.tsv"))
    assert bars.job.nunique() == len(benchmarks) and set(bars.core) == {1, 2}
    trained = bars[bars.kind == "training"]
    assert (trained.ends - trained.begins).sum() == pytest.approx(int(rows[0]), abs=1)


def test_without_snakemakes_own_records_there_is_still_nothing_to_do(finished):
    shutil.rmtree(finished.folder / ".snakemake")
    assert "Nothing to be done" in finished.snakemake("-n", "--configfile", "trial.yaml")


def test_modification_times_of_data_and_checkpoints_do_not_matter(finished):
    for folder in ("data", "results/checkpoints"):
        for path in (finished.folder / folder).rglob("*"):
            path.touch()
    assert "Nothing to be done" in finished.snakemake("-n", "--configfile", "trial.yaml")


REPORT = {
    "inputs": 1,
    "evaluate": 1,
    "write_tables": 1,
    "figure_roc": 1,
    "figure_samples": 1,
    "figure_scores": 1,
    "manifest": 1,
}


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("seeds=[0,1]", {"train": 4, "score": 8}),
        ("methods={adgan: {steps: 2}}", {"score": 2}),
        ("models={wgan: {learning_rate: 2e-5}}", {"train": 2, "score": 2}),
        ("split_seed=1", {"split": 2, "train": 4, "score": 8}),
        ("held_out=[1,8,3]", {"split": 1, "train": 2, "score": 4}),
        ("bootstrap=200", {}),
    ],
)
def test_a_change_runs_what_it_touches(finished, option, expected):
    """`--config` is merged onto the experiment file, so an option need not repeat it."""
    assert finished.planned("--configfile", "trial.yaml", "--config", option) == REPORT | expected


def test_new_seeds_leave_the_old_trainings_alone(finished):
    before = {path: path.stat().st_mtime_ns for path in (finished.folder / "results" / "checkpoints").rglob("*.*")}
    wgan, floor = {"wgan": TRIAL["models"]["wgan"]}, {"mean_image": {}}
    finished.write("trial.yaml", seeds=[3], held_out=[1], models=wgan, methods=floor, figures=[])
    finished.snakemake("--configfile", "trial.yaml")
    after = {path: path.stat().st_mtime_ns for path in (finished.folder / "results" / "checkpoints").rglob("*.*")}
    assert before.items() <= after.items() and any("/seed3/" in str(path) for path in after.keys() - before.keys())
    # Back at the old seeds, only the tables and figures are made again.
    finished.write("trial.yaml")
    assert finished.planned("--configfile", "trial.yaml") == REPORT


def test_a_printed_command_works_by_hand(finished):
    printed = finished.snakemake("-n", "-p", "--forcerun", "train", "--configfile", "trial.yaml")
    command = re.search(r"heldout train .*wgan.*--checkpoint \S+", printed)[0]
    checkpoint = finished.folder / re.search(r"--checkpoint (\S+)", command)[1]
    before = checkpoint.read_bytes()
    checkpoint.unlink()
    finished.run("bash", "-c", command)
    assert checkpoint.read_bytes() == before  # the same spec, the same bits


def test_a_dry_run_changes_nothing_that_a_run_reads(finished):
    assert finished.planned("--configfile", "trial.yaml", "--config", "seeds=[7]")["train"] == 4
    assert "Nothing to be done" in finished.snakemake("--configfile", "trial.yaml")
    finished.planned("--configfile", "trial.yaml", "--config", "experiment=looked_at")
    assert not (finished.folder / "results" / "looked_at").exists()


def test_an_interrupted_run_says_how_to_resume_and_does(unserved):
    models = {"wgan": TRIAL["models"]["wgan"] | {"steps": 100_000}}
    name = unserved.write("long.yaml", experiment="long", held_out=[1], models=models, methods={"mean_image": {}})
    process = unserved.start("checkpoints", "--configfile", name)
    log_folder = unserved.folder / "results" / "logs" / "train" / "mnist5k" / "one_class" / "1" / "seed0"
    deadline = time.monotonic() + 240
    try:
        while not any("/100000 " in log.read_text() for log in log_folder.glob("wgan-*.log")):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.5)
        os.killpg(process.pid, signal.SIGINT)
        printed, _ = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode != 0
    assert "Resume with:\n    snakemake --cores 2 checkpoints --configfile long.yaml" in printed
    name = unserved.write(
        "long.yaml", experiment="long", held_out=[1], models=TRIAL["models"], methods={"mean_image": {}}
    )
    unserved.snakemake("checkpoints", "--configfile", name)  # the folder is not locked


def test_single_keys_of_the_quickstart_change_by_hand(project):
    planned = project.planned("--config", "held_out=[3]", "test_items=5e1")
    assert (planned["split"], planned["train"], planned["score"]) == (1, 3, 10)


def test_nothing_of_config_yaml_leaks_into_another_experiment(project):
    name = project.write("alone.yaml", experiment="alone", methods={"mean_image": {}}, models={}, held_out=[1])
    project.snakemake("--until", "inputs", "--configfile", name)
    inputs = json.loads((project.folder / "results" / "alone" / "inputs.json").read_text())
    assert inputs["methods"].keys() == {"mean_image"} and inputs["bootstrap"] == TRIAL["bootstrap"]


def test_logs_hold_the_progress_of_a_step(finished):
    log = next((finished.folder / "results" / "logs" / "train").rglob("wgan-*.log")).read_text()
    assert "100%" in log and "10/10" in log and "\r" not in log


def test_a_training_that_diverges_is_a_row_that_says_so_and_the_rest_stands(project):
    diverging = {"wgan": TRIAL["models"]["wgan"] | {"learning_rate": 1e30, "clip": 1e30}}
    name = project.write(
        "diverging.yaml",
        experiment="diverging",
        held_out=[1],
        models=diverging,
        methods={"mean_image": {}, "adgan": {"starts": 2, "steps": 1}},
        figures=["roc", "samples"],
    )
    project.snakemake("--configfile", name)
    folder = project.folder / "results" / "diverging"
    table = pd.read_csv(folder / "tables" / "auroc.csv").set_index("held_out")
    assert table.mean_image.notna().all() and table.adgan.isna().all()
    assert re.match(r"1: wgan: the \w+ loss is (nan|inf|-inf) at step \d+ \(seed 0\)", table.adgan_failed["1"])
    assert "| failed: 1: wgan: the" in (folder / "tables" / "auroc.md").read_text()
    assert (folder / "figures" / "roc-1.svg").is_file() and (folder / "figures" / "samples-wgan.svg").is_file()
    assert "Nothing to be done" in project.snakemake("--configfile", name)


def test_leave_one_out_trains_a_conditional_gan_an_encoder_on_a_gan_and_joins_scores(project):
    small = {"steps": 10, "width": 8, "batch": 16}
    models = {
        "cgan": {**small, "latent": 16},
        "dcgan": {**small, "latent": 16},
        "izi_encoder": {**small, "parent": "dcgan"},
    }
    methods = {
        "mean_image": {},
        "conditional_search": {"starts": 2, "steps": 2},
        "discriminator": {"model": "cgan"},
        "fanogan": {},
        "kde": {},
        "gan": {"method": "combine", "of": ["fanogan:residual", "discriminator"]},
        "told": {"method": "combine", "of": ["fanogan", "kde"], "by": "logistic"},
    }
    name = project.write(
        "left-out.yaml",
        experiment="left-out",
        protocol="leave_one_out",
        held_out=[1],
        train_items=200,
        calibration=0.1,
        labelled_anomalies=20,
        models=models,
        methods=methods,
        figures=["samples"],
    )
    project.snakemake("--configfile", name)
    folder = project.folder / "results" / "left-out"
    table = pd.read_csv(folder / "tables" / "auroc.csv").set_index("held_out")
    assert table.loc["1", [*methods][:-1]].notna().all() and 0 <= table["told (semi-supervised)"]["1"] <= 1
    assert table.normal["1"] == "0 2 3 4 5 6 7 8 9" and table.share_of_anomalies["1"] < 0.3
    text = (folder / "tables" / "auroc.md").read_text()
    assert "`held out` is the anomalous class" in text and "fitted with the labels of some anomalies" in text
    assert (folder / "figures" / "samples-cgan.png").is_file()
    spec = json.loads(next((project.folder / "results" / "checkpoints").rglob("cgan-*.spec.json")).read_text())["spec"]
    assert spec["normal_classes"] == 9
    assert "Nothing to be done" in project.snakemake("--configfile", name)
    # Without the GAN on which it was trained, the encoder's own file is as good as before: the GAN alone is made anew.
    for path in (project.folder / "results" / "checkpoints").rglob("leave_one_out/**/dcgan-*"):
        path.rename(path.with_name(f"away-{path.name}"))
    assert "train" not in project.planned("--configfile", name)
    assert project.planned("checkpoints", "--configfile", name)["train"] == 1
