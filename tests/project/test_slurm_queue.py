"""Jobs that Slurm holds are told from those that wait for their turn, and from those of other folders."""

from pathlib import Path

import pytest

from heldout.project.slurm_queue import held


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """A function that sets the answer of `squeue`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))

    def answer(text: str, status: int = 0) -> None:
        command = tmp_path / "squeue"
        command.write_text(f"#!/bin/sh\nprintf '%b' '{text}'\nexit {status}\n")
        command.chmod(0o755)

    return answer


def test_only_held_jobs_of_this_folder_are_named(queue):
    here, reasons = Path.cwd(), ("PartitionTimeLimit", "Priority", "Resources", "None", "JobHeldUser")
    lines = [f"{number}|{reason}|1:20:00|short|{here}" for number, reason in enumerate(reasons)]
    queue("\n".join([*lines, "9|PartitionTimeLimit|1:20:00|short|/elsewhere"]))
    assert held() == {
        "0": "Slurm holds job 0 (PartitionTimeLimit): it requests 1:20:00 on partition short; set `slurm_partition`, "
        "or a shorter `runtime`, under `set-resources` in the profile",
        "4": "Slurm holds job 4 (JobHeldUser): it requests 1:20:00 on partition short; see: scontrol show job 4",
    }


@pytest.mark.parametrize(("text", "status"), [("", 0), ("slurm_load_jobs error: Unable to contact", 1), ("| |", 0)])
def test_without_an_answer_there_are_none(queue, text, status):
    queue(text, status)
    assert held() == {}


def test_an_answer_in_another_encoding_is_read(queue):
    queue(f"0|JobHeldUser|1:20:00|k\\374rz|{Path.cwd()}")  # one byte of Latin-1
    assert "partition k\ufffdrz" in held()["0"]


def test_without_slurm_there_are_none(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert held() == {}
