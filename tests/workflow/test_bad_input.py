"""A mistake gets one clear line and a non-zero exit, and loses nothing."""

import csv
import os
import shutil
import signal
import time
from dataclasses import replace

import pytest

pytestmark = pytest.mark.slow


def complaint(printed: str) -> str:
    """The one line that tells what is wrong."""
    assert "Traceback" not in printed, printed
    lines = {line for line in printed.splitlines() if line.startswith("heldout: error: ")}
    assert len(lines) == 1, printed
    return lines.pop()


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"sedes": [1]}, "bad.yaml: no key 'sedes'; did you mean 'seeds'?"),
        ({"methods": {"adgn": {}}}, "methods.adgn: no method 'adgn'; did you mean 'adgan'?"),
        ({"held_out": ["ten"]}, "bad.yaml, held_out: no class of mnist5k 'ten'"),
        ({"test_items": -1}, "bad.yaml, test_items: "),
        ({"models": {"wgan": {"width": 200_000}, "dcgan": {}}}, "models.wgan: its networks need about"),
        ({"models": {"wgan": {"steps": -1}, "dcgan": {}}}, "models.wgan.steps: -1 is less than the minimum of 1"),
    ],
)
def test_an_experiment_file(project, changes, line):
    printed = project.snakemake("-n", "--configfile", project.write("bad.yaml", **changes), ok=False)
    assert line in complaint(printed)


BOMB = "a: &a {x: 1, y: 1}\n" + "".join(
    f"{new}: &{new} {{{', '.join(f'k{n}: *{old}' for n in range(9))}}}\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"experiment: caf\xe9\n", "bad.yaml, line 1: it is not in UTF-8"),
        (b"seeds: " + b"[" * 5000 + b"]" * 5000, "bad.yaml, line 1: more than 20 levels"),
        (BOMB.encode(), "bad.yaml, line 5: more than 10000 values"),
        (b"seeds: [" + b"9" * 5000 + b"]\n", "bad.yaml, line 1: a number of 5000 characters"),
        (b"seeds: [0]\nseeds: [1]\n", "bad.yaml, line 2: the key 'seeds' repeats that of line 1; keep one"),
    ],
)
def test_an_experiment_file_that_snakemake_reads_before_the_workflow(project, content, line):
    (project.folder / "bad.yaml").write_bytes(content)
    assert line in complaint(project.snakemake("-n", "--configfile", "bad.yaml", ok=False))


@pytest.mark.parametrize("profile", ["default", "gpu", "slurm"])
def test_a_missing_experiment_file_under_each_profile(project, profile):
    arguments = ("-n", "--workflow-profile", f"profiles/{profile}", "--configfile", "bad.yaml")
    assert "there is no experiment file bad.yaml" in complaint(project.snakemake(*arguments, ok=False))


def test_a_quickstart_that_cannot_be_read(project):
    (project.folder / "config.yaml").write_bytes(b"experiment: caf\xe9\n")
    assert "config.yaml, line 1: it is not in UTF-8" in complaint(project.snakemake("-n", ok=False))


def test_what_is_unforeseen_while_planning(project):
    module = project.folder / "workflow" / "heldout" / "planning" / "wiring.py"
    module.write_text(module.read_text(encoding="utf-8").replace("self.plan = plan", "self.plan = plan / 0", 1))
    line = complaint(project.snakemake("-n", ok=False))
    assert "TypeError: unsupported operand" in line and "HELDOUT_DEBUG=1 shows" in line
    shown = replace(project, environment=project.environment | {"HELDOUT_DEBUG": "1"}).snakemake("-n", ok=False)
    assert "Traceback" in shown and "in __init__" in shown


def test_settings_on_the_command_line_reach_the_jobs(project):
    name = project.write("good.yaml", **FLOOR | {"test_items": 60, "figures": ["roc"]})
    project.snakemake("--until", "evaluate", "--configfile", name, "--config", "test_items=null", 'held_out=["2"]')
    with open(project.folder / "results" / "trial" / "tables" / "metrics.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["held_out"] for row in rows} == {"2", "mean"}
    assert {row["test_images"] for row in rows} == {"1000"}


FLOOR = {"methods": {"mean_image": {}}, "models": {}, "held_out": [1]}


def test_a_device_that_is_not_there(project):
    models = {"wgan": {"steps": 1, "width": 4}}
    name = project.write("bad.yaml", **FLOOR | {"models": models, "device": "cuda:9"})
    printed = project.snakemake("checkpoints", "--configfile", name, ok=False)
    assert "device: cuda:9 asks for a GPU, but PyTorch sees 0" in complaint(printed)
    assert "Resume with:" in printed and "--configfile bad.yaml" in printed


def test_a_held_out_class_with_too_few_images(project):
    name = project.write("bad.yaml", **FLOOR | {"calibration": 0.999, "split_seed": 5})
    assert "held_out 1: 0 training images, but at least 2 are needed" in complaint(
        project.snakemake("--configfile", name, ok=False)
    )


def test_a_mirror_without_the_file(project):
    name = project.write("bad.yaml", **FLOOR | {"datasets": {"mnist": {}}, "mirror": "/nowhere"})
    line = complaint(project.snakemake("--configfile", name, ok=False))
    assert "cannot fetch /nowhere/mnist/train-images-idx3-ubyte.gz (no such file)" in line
    assert not (project.folder / "data" / "raw" / "mnist").exists()


def test_a_mirror_with_a_damaged_file(project, tmp_path):
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(b"not an archive")
    name = project.write("bad.yaml", **FLOOR | {"datasets": {"mnist": {}}, "mirror": str(tmp_path)})
    line = complaint(project.snakemake("--configfile", name, ok=False))
    assert "train-images-idx3-ubyte.gz (damaged: " in line and "it was removed" in line
    assert not (project.folder / "data" / "raw" / "mnist").exists()


def test_a_truncated_checkpoint(project):
    wgan = {"models": {"wgan": {"steps": 1, "width": 4}}}
    name = project.write("good.yaml", **FLOOR | wgan)
    project.snakemake("checkpoints", "--configfile", name)
    checkpoint = next((project.folder / "results" / "checkpoints").rglob("wgan-*.safetensors"))
    checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    name = project.write("bad.yaml", **FLOOR | wgan | {"experiment": "bad", "methods": {"discriminator": {}}})
    line = complaint(project.snakemake("--until", "score", "--configfile", name, ok=False))
    assert f"{checkpoint.name} is damaged" in line and f"{checkpoint.stem}.* and run again" in line
    checkpoint.unlink()
    project.snakemake("--until", "score", "--configfile", name)  # the remedy works


def test_a_results_folder_that_cannot_be_written(project):
    (project.folder / "results").write_text("a file where the folder should be")
    line = complaint(project.snakemake("--configfile", project.write("bad.yaml", **FLOOR), ok=False))
    assert "cannot write results/" in line and "make room or its folder writable" in line


@pytest.mark.parametrize(("until", "kibibytes"), [("fetch", 100), ("split", 1000), ("checkpoints", 40), ("tables", 8)])
def test_a_disk_that_is_full(unserved, until, kibibytes):
    """A limit on the size of files stands for it: writing ends in the same way, with an error of the system."""
    if until in ("fetch", "split"):
        shutil.rmtree(unserved.folder / "data")
    model = {"dcgan": {"steps": 2, "width": 16}}
    name = unserved.write("full.yaml", **FLOOR | {"experiment": "full", "models": model, "held_out": [2]})
    if until == "tables":
        unserved.snakemake("--until", "train", "score", "--configfile", name)  # larger files
    crowded = replace(unserved, launcher=("prlimit", f"--fsize={1024 * kibibytes}"))
    goal = ["--until", until] if until in ("fetch", "split") else [until]
    printed = crowded.snakemake(*goal, "--configfile", name, ok=False)
    assert "cannot write" in complaint(printed) and "make room or its folder writable" in printed
    written = [path for folder in ("data", "results") for path in (unserved.folder / folder).rglob(".heldout-*")]
    assert not written
    unserved.snakemake(*goal, "--configfile", name)  # the remedy works


def test_a_second_run_in_one_folder_is_told_which_to_wait_for(unserved):
    slow = {"methods": {"adgan": {"model": "dcgan"}}, "models": {"dcgan": {"steps": 5000, "width": 8}}, "held_out": [3]}
    name = unserved.write("slow.yaml", **slow | {"experiment": "slow"})
    unserved.snakemake("--until", "split", "--configfile", name)  # so that the first run is in a long job at once
    first = unserved.start("checkpoints", "--configfile", name)
    try:
        locks = unserved.folder / ".snakemake" / "locks"
        while not (locks.is_dir() and any(locks.iterdir())):
            assert first.poll() is None
            time.sleep(0.1)
        printed = unserved.snakemake("checkpoints", "--configfile", name, ok=False)
        assert f"heldout: process {first.pid} is running snakemake in this folder; if this run is refused" in printed
        assert "Directory cannot be locked" in printed
        assert "Traceback" not in printed
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()
    unserved.snakemake("--unlock")
    assert "is running snakemake" not in unserved.snakemake("-n", "--configfile", name)
