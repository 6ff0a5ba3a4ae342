"""The workflow on a real Slurm of one machine, which loses a job and a node: the tables are those of a local run."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.workflow.conftest import Project, copy_repository

pytestmark = pytest.mark.slow(minutes=2)

SCRIPTS = Path(__file__).with_name("slurm")
COMMANDS = ("munged", "slurmctld", "slurmd", "srun", "squeue")
PACKAGES = "apt-get install --no-install-recommends munge slurmctld slurmd slurm-client"
SMALL = {"steps": 20, "width": 4, "batch": 8, "latent": 8}
EXPERIMENT = {
    "held_out": [1],
    "train_items": 100,
    "models": dict.fromkeys(("wgan", "dcgan", "lsgan"), SMALL),
    "methods": {"mean_image": {}, "adgan": {"starts": 2, "steps": 1}},
    "figures": [],
}
BY_PROFILE = ("--workflow-profile", "profiles/slurm", "--slurm-init-seconds-before-status-checks", "3")
IN_GROUPS = ("--group-components", "trainings=2", "scorings=2")
ON_GPUS = ("--set-resources", "train:gpu=1", "score:gpu=0", "score:gres=gpu:1")


@dataclass(frozen=True)
class Slurm:
    """A controller and the nodes n1 and n2, which live in `folder`."""

    folder: Path

    def running(self, group: str) -> dict[str, str]:
        """The node of each running job of a group, by job."""
        lines = self._ask("squeue", "--noheader", "--states=R", "--format=%i %N %k").splitlines()
        fields = [line.split(maxsplit=2) for line in lines]
        return {job: node for job, node, comment in fields if group in comment}

    def asked(self, job: str) -> dict[str, str]:
        """What a job was submitted with, in Slurm's words."""
        return dict(word.split("=", 1) for word in self._ask("scontrol", "show", "job", job).split() if "=" in word)

    def limit(self, time: str) -> None:
        """Set the longest run time of the partition's jobs; longer ones are held."""
        self._ask("scontrol", "update", "PartitionName=main", f"MaxTime={time}")

    def cancel(self, job: str) -> None:
        self._ask("scancel", job)

    def state(self, job: str) -> str:
        return self._ask("squeue", "--noheader", "--states=all", f"--jobs={job}", "--format=%T").strip()

    def crash(self, node: str) -> None:
        """End a node's daemon, its jobs and all they have started, as a power cut does: nobody is told."""
        daemon = psutil.Process(int((self.folder / f"slurmd-{node}.pid").read_text()))
        daemon.kill()
        for process in psutil.process_iter(["name"]):
            if process.info["name"] == "slurmstepd" and self._is_of(process, node):
                for lost in (*process.children(recursive=True), process):
                    lost.kill()

    def _is_of(self, process: psutil.Process, node: str) -> bool:
        return any(opened.path == str(self.folder / f"slurmd-{node}.log") for opened in process.open_files())

    def _ask(self, *command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout


@pytest.fixture(scope="module")
def slurm() -> Iterator[Slurm]:
    if os.getuid() != 0:
        pytest.skip("only root can start a Slurm")
    if missing := [command for command in COMMANDS if not shutil.which(command)]:
        pytest.skip(f"{', '.join(missing)}: not installed; on Debian: {PACKAGES}")
    if not importlib.util.find_spec("snakemake_executor_plugin_slurm"):
        pytest.skip("Snakemake's plugin is not installed: pip install -c envs/constraints.txt -e '.[slurm]'")
    if any(Path("/etc/slurm", name).exists() for name in ("slurm.conf", "gres.conf")):
        pytest.skip("this machine has a Slurm of its own")
    # Not below pytest's folders, which are closed to munge's own user.
    folder = Path(tempfile.mkdtemp(prefix="heldout-slurm-", dir="/tmp"))
    try:
        subprocess.run([SCRIPTS / "start.sh", folder], check=True, timeout=60)
        yield Slurm(folder)
    finally:
        subprocess.run([SCRIPTS / "stop.sh", folder], timeout=60)
    assert not folder.exists() and not Path("/etc/slurm/slurm.conf").is_symlink()


@pytest.fixture
def projects(tmp_path) -> list[Project]:
    """Two fresh clones, each with the experiment in `trial.yaml`; what runs there ends even if no test waits for it."""
    environment, launcher = {"HELDOUT_MIRROR": "", "CUDA_VISIBLE_DEVICES": ""}, ("timeout", "900")
    made = [Project(tmp_path / name, environment, launcher) for name in ("here", "there")]
    for project in made:
        copy_repository(project.folder)
        project.write("trial.yaml", **EXPERIMENT)
    return made


def test_a_run_that_loses_a_job_and_a_node_ends_with_the_tables_of_a_local_run(slurm, projects):
    here, there = projects
    local = here.start("--configfile", "trial.yaml")  # at the same time, since the other one mostly waits
    run = there.begin("snakemake", *BY_PROFILE, *IN_GROUPS, *ON_GPUS, "--configfile", "trial.yaml")
    try:
        cancelled, crashed = _until(lambda: _two(slurm.running("trainings")), run)
        asked = slurm.asked(cancelled)
        assert asked["NumCPUs"] == "1" and asked["TresPerJob"] == "gres:gpu:1"
        # Two trainings, one after the other, and one; each job starts once, for ten minutes.
        assert {asked["TimeLimit"], slurm.asked(crashed)["TimeLimit"]} == {"00:12:00", "00:11:00"}
        slurm.cancel(cancelled)
        slurm.crash(slurm.running("trainings")[crashed])
        (again,) = _until(lambda: slurm.running("trainings").keys() - {cancelled, crashed}, run)
        assert _mib(slurm.asked(again)) == 2 * _mib(asked)  # the second attempt
        _until(lambda: (slurm.state(cancelled), slurm.state(crashed)) == ("CANCELLED", "NODE_FAIL"), run)
        for process in (run, local):
            printed, _ = process.communicate(timeout=400)
            assert process.returncode == 0, printed
    finally:
        for process in (run, local):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    log = next((there.folder / ".snakemake" / "log").iterdir()).read_text()
    # One for the data, two for three trainings and as many for those that were lost, two to score, with a network and
    # without, one to report.
    assert len(re.findall("has been submitted with SLURM jobid", log)) == 8
    assert _tables(there) == _tables(here)
    assert "Nothing to be done" in there.snakemake("-n", "--configfile", "trial.yaml")


def test_a_job_that_slurm_holds_is_named_with_its_reason(slurm, projects):
    here, there = projects
    asks = ("--set-resources", "split:runtime=120")
    slurm.limit("01:00:00")
    run = there.begin("snakemake", *BY_PROFILE, *asks, "--configfile", "trial.yaml")
    try:
        told = next(
            line.strip() for line in run.stdout if "Slurm holds" in line
        )  # the launcher ends a run that says none
        assert re.match(
            r"heldout: Slurm holds job \d+ \(PartitionTimeLimit\): it requests 2:12:00 on partition main", told
        )
        assert "`runtime`, under `set-resources` in the profile" in told
        assert told.removeprefix("heldout: ") in there.run("heldout", "status")
        assert "Slurm holds" not in here.run("heldout", "status")  # it is not about this folder
        os.killpg(run.pid, signal.SIGINT)
        run.communicate(timeout=120)
    finally:
        slurm.limit("UNLIMITED")
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)


def _two(running: dict[str, str]) -> list[str]:
    return [*running] if len(running) == 2 else []


def _until(happened: Callable[[], Any], run: subprocess.Popen) -> Any:
    """Wait for what is true in the end, and return it; a run that ends before is an error."""
    deadline = time.monotonic() + 300
    while not (found := happened()):
        assert time.monotonic() < deadline and run.poll() is None, run.communicate()[0]
        time.sleep(0.5)
    return found


def _mib(asked: dict[str, str]) -> int:
    return int(asked["MinMemoryNode"].removesuffix("M"))


def _tables(project: Project) -> dict[str, bytes]:
    """The tables of a run, those of its timings apart."""
    files = (project.folder / "results" / "trial" / "tables").iterdir()
    return {path.name: path.read_bytes() for path in files if path.stem != "runtime"}
