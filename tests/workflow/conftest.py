"""A copy of the project in which Snakemake runs, so that tests leave nothing behind."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

from tests.conftest import REPOSITORY
from tests.serving import served

TRIAL = {
    "experiment": "trial",
    "datasets": {"mnist5k": {}},
    "held_out": [1, 8],
    "test_items": 60,
    "models": {
        "wgan": {"steps": 10, "width": 8, "batch": 16, "latent": 16},
        "dcgan": {"steps": 10, "width": 8, "batch": 16, "latent": 16},
    },
    "methods": {
        "mean_image": {},
        "isolation_forest": {},
        "adgan": {"starts": 2, "steps": 1},
        "discriminator": {"model": "dcgan"},
    },
    "bootstrap": 100,
    "device": "cpu",
}


PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
ENVIRONMENT = {"HELDOUT_MIRROR": "", "CUDA_VISIBLE_DEVICES": ""}


@dataclass(frozen=True)
class Project:
    """A folder with the workflow in it.

    Attributes:
        folder: where commands run.
        environment: added to theirs.
        launcher: put before each command.
    """

    folder: Path
    environment: dict[str, str]
    launcher: tuple[str, ...] = ()

    def write(self, name: str, **changes: object) -> str:
        """Write an experiment file and return its name."""
        (self.folder / name).write_text(yaml.safe_dump({**TRIAL, **changes}), encoding="utf-8")
        return name

    def shorten(self, name: str, **changes: object) -> str:
        """Make the models of an experiment that comes with the project train for 10 updates; return its file's name."""
        path = Path("workflow", "experiments", f"{name}.yaml")
        experiment = yaml.safe_load((REPOSITORY / path).read_text(encoding="utf-8")) | changes
        for params in experiment["models"].values():
            params |= {"steps": 10} | ({"pretraining": 10} if "pretraining" in params else {})
        (self.folder / path).write_text(yaml.safe_dump(experiment, sort_keys=False), encoding="utf-8")
        return str(path)

    def run(self, *command: str, ok: bool = True) -> str:
        """Run a command; return what it prints, after checking whether it should have worked."""
        process = self.begin(*command)
        printed, _ = process.communicate()
        assert (process.returncode == 0) == ok, printed
        return printed

    def start(self, *arguments: str) -> subprocess.Popen:
        """Start Snakemake on two cores."""
        return self.begin("snakemake", "--cores", "2", *arguments)

    def begin(self, *command: str) -> subprocess.Popen:
        """Start a command in a process group of its own, as a terminal does."""
        own = {"PATH": PATH, "PYTHONPATH": str(self.folder / "workflow")}  # as if this copy were the installed one
        environment = os.environ | own | self.environment
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(
            [*self.launcher, *command], cwd=self.folder, env=environment, start_new_session=True, **pipes
        )

    def snakemake(self, *arguments: str, ok: bool = True) -> str:
        return self.run("snakemake", "--cores", "2", *arguments, ok=ok)

    def planned(self, *arguments: str) -> dict[str, int]:
        """The number of jobs of each rule that a dry run plans."""
        printed = self.snakemake("-n", *arguments, "--quiet", "rules")
        table = printed.partition("Job stats:")[2].splitlines()[3:]
        rows = [line.split() for line in table[: next(i for i, line in enumerate([*table, ""]) if not line.strip())]]
        return {rule: int(count) for rule, count in rows if rule not in ("total", "all")}


@pytest.fixture(scope="session")
def once(tmp_path_factory) -> Callable[[str, Callable[[Path], None]], Path]:
    """Return a function that makes a folder once for all of pytest's processes: `once(name, make)`.

    Tests work on copies of it, so that they need not run in one order, nor in one process.
    """
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # the processes' own folders lie side by side

    def once(name: str, make: Callable[[Path], None]) -> Path:
        folder, unfinished = root / name, root / f"{name}.unfinished"
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                shutil.rmtree(unfinished, ignore_errors=True)
                make(unfinished)
                unfinished.rename(folder)
        return folder

    return once


@pytest.fixture(scope="session")
def forks(tmp_path_factory) -> Iterator[dict[str, str]]:
    """An environment in which jobs need not import the libraries anew.

    They run outside the group of Snakemake's processes: not for a test that sends signals or sets limits.
    """
    with served({**os.environ, "PATH": PATH}, tmp_path_factory.getbasetemp()) as environment:
        yield environment


@pytest.fixture(scope="session")
def project_folder(once) -> Path:
    def make(folder: Path) -> None:
        copy_repository(folder)
        project = Project(folder, ENVIRONMENT)
        project.snakemake("--until", "prepare", "--configfile", project.write("trial.yaml"))
        for name in ("results", ".snakemake"):  # logs and times
            shutil.rmtree(folder / name)

    return once("project", make)


@pytest.fixture(scope="session")
def finished_folder(once, project_folder, forks) -> Path:
    def make(folder: Path) -> None:
        project = Project(shutil.copytree(project_folder, folder), ENVIRONMENT | forks)
        project.snakemake("--configfile", "trial.yaml")

    return once("finished", make)


@pytest.fixture
def project(project_folder, forks, tmp_path) -> Project:
    """The project's own files, as a fresh clone holds them, the experiment `trial.yaml` and its prepared images."""
    return Project(shutil.copytree(project_folder, tmp_path / "project"), ENVIRONMENT | forks)


@pytest.fixture
def unserved(project) -> Project:
    """The same, where each job is a process of Snakemake's group that starts by itself."""
    return replace(project, environment=ENVIRONMENT)


@pytest.fixture
def finished(finished_folder, forks, tmp_path) -> Project:
    """A project in which `trial.yaml` has run."""
    return Project(shutil.copytree(finished_folder, tmp_path / "finished"), ENVIRONMENT | forks)


def copy_repository(folder: Path) -> None:
    """Copy what git tracks, or would track, of this checkout to a folder that is not there yet."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    for name in subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout.splitlines():
        if (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, folder / name)
