"""The command line: mistakes are one line, lists are true."""

import subprocess
import sys

import pytest
import typer

from heldout import registry
from heldout.cli import PLUGINS, RESULTS, STEPS, app
from heldout.planning import schema
from heldout.project.snakemake_runs import explain


def heldout(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "heldout", *arguments], capture_output=True, text=True, check=False)


def test_help_lists_every_verb_in_a_group_with_one_line():
    lines = heldout("--help").stdout.splitlines()
    groups = [line for line in lines if line.startswith("╭─")]
    assert ["Options" in group for group in groups].count(False) == 3
    for name, command in typer.main.get_command(app).commands.items():
        described = [line for line in lines if line.startswith(f"│ {name} ")]
        assert command.rich_help_panel in (PLUGINS, RESULTS, STEPS)
        assert len(described) == 1 and command.get_short_help_str(200).rstrip(".") in described[0]


def test_every_entry_is_listed_with_its_summary():
    listed = heldout("methods").stdout
    assert all(f"{name} " in listed for name in registry.names("method"))
    assert "wgan" in heldout("models").stdout and "cifar10" in heldout("datasets").stdout


def test_an_entrys_parameters_are_shown_with_default_range_and_source():
    shown = heldout("methods", "adgan").stdout
    assert "starts = 64  (integer >= 1) starting points per image (n_seed)" in shown
    assert "Source: Deecke" in shown and "default model: wgan" in shown


@pytest.mark.parametrize("name", registry.names("method"))
def test_only_a_method_that_reads_a_model_is_shown_with_the_key_model(name):
    reads_a_model = registry.load("method", name).facts["reads"] != ["images"]
    assert ("model" in schema.structure("method", name)) is reads_a_model


def test_a_mistake_is_one_line_and_status_1():
    result = heldout("methods", "adgn")
    assert result.returncode == 1
    assert result.stderr == "heldout: error: heldout methods: no method 'adgn'; did you mean 'adgan'?\n"


def test_an_unknown_dataset_is_one_line():
    result = heldout("fetch", "mnst", "--folder", "nowhere")
    assert result.returncode == 1 and result.stderr.count("\n") == 1 and "did you mean 'mnist'" in result.stderr


def test_a_failed_run_shows_each_failed_jobs_log_and_how_to_resume(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.log").write_text(
        "\n".join(f"line {number}" for number in range(100)) + "\nheldout: error: no room\n"
    )
    log = tmp_path / "snakemake.log"
    log.write_text("Error in rule train:\n    jobid: 3\n    log: train.log (check log file(s) for error details)\n" * 2)
    text = explain([log], "snakemake --cores all")
    assert text.count("--- train.log") == 1 and "heldout: error: no room" in text
    assert "line 99" in text and "line 50" not in text
    assert text.rstrip().endswith("Resume with:\n    snakemake --cores all")


def test_without_a_log_the_resuming_line_still_comes(tmp_path):
    assert "snakemake --cores 2" in explain([tmp_path / "none"], "snakemake --cores 2")
