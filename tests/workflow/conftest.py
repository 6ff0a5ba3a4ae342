"""A copy of the project in which Snakemake runs, so that tests leave nothing behind."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.conftest import REPOSITORY

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
        "anogan": {"steps": 2},
        "discriminator": {},
        "prior": {"starts": 2, "steps": 1},
    },
    "bootstrap": 100,
    "device": "cpu",
}


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
        environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"} | self.environment
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


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """The project's own files, as a fresh clone would hold them."""
    folder = tmp_path_factory.mktemp("project")
    copy_repository(folder)
    return Project(folder, {"HELDOUT_MIRROR": "", "CUDA_VISIBLE_DEVICES": ""})


def copy_repository(folder: Path) -> None:
    """Copy what git tracks, or would track, of this checkout."""
    listing = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    for name in listing.stdout.splitlines():
        if (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, folder / name)
