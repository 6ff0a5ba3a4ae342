"""Killed at random moments, in whatever is running, an experiment ends with the files of an undisturbed run."""

import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from heldout.storage.hashing import file_sha256
from tests.workflow.conftest import ENVIRONMENT, TRIAL, Project, copy_repository

pytestmark = pytest.mark.slow(minutes=2)

# Long enough, with a save every second, to be cut off several times in each training and each scoring.
EXPERIMENT = {
    "experiment": "killed",
    "held_out": [1],
    "save_every": 1,
    "test_items": 200,
    "models": {"wgan": TRIAL["models"]["wgan"] | {"steps": 400}},
    "methods": {"mean_image": {}, "adgan": {"starts": 32, "steps": 24}},
    "figures": [],
}
# Which job a kill is to hit, and at most how many seconds after it is at work.
KILLS = [
    *[("fetch", 0.5), ("prepare", 0.0), ("prepare", 1.0), ("split", 0.5)],
    *[("train", 2.0)] * 3,
    *[("score", 2.0)] * 3,
    *[("evaluate", 1.0), ("tables", 1.0)],
]
TERMINATIONS = [("prepare", 0.0), *[("train", 2.0)] * 2, *[("score", 2.0)] * 2]
LOOPS = ("train/", "score/")
DEADLINE_S = 240


@dataclass(frozen=True)
class Moment:
    """Where a run was cut off.

    Attributes:
        begun: the jobs that it had begun.
        after: the last of them.
        lost_s: if that is a training or scoring, the seconds of its loop that no file holds.
    """

    begun: frozenset[str]
    after: str
    lost_s: float | None


@pytest.fixture
def undisturbed(once) -> dict[str, str]:
    def make(folder: Path) -> None:
        copied(folder).snakemake("--configfile", "killed.yaml")

    return results(Project(once("undisturbed", make), ENVIRONMENT))


def copied(folder: Path) -> Project:
    copy_repository(folder)
    project = Project(folder, ENVIRONMENT)
    project.write("killed.yaml", **EXPERIMENT)
    return project


def results(project: Project) -> dict[str, str]:
    """The hash of every checkpoint, score and table, but for those that say how long things took."""
    folder = project.folder / "results"
    files = [*folder.rglob("*.safetensors"), *folder.rglob("*.parquet"), *(folder / "killed" / "tables").iterdir()]
    return {
        str(path.relative_to(folder)): file_sha256(path)
        for path in files
        if ".resume" not in path.parts and not path.name.startswith("runtime")
    }


def cut_off(project: Project, number: signal.Signals, job: str, delay_s: float) -> Moment | None:
    """Run on, and signal the whole group some time after `job` or a later one is at work; None if the run ended."""
    jobs = list(dict.fromkeys(name for name, _ in KILLS))
    awaited = tuple(jobs[jobs.index(job) :])
    logs, began = project.folder / "results" / "logs", time.time()
    process = project.start("--cores", "1", "--configfile", "killed.yaml", "--rerun-incomplete", "--nolock")
    at_work: dict[str, float] = {}  # since when, by the log's name; a training or scoring while it is in its loop
    over = set()

    def look() -> None:
        for log in logs.rglob("*.log"):
            name = log.relative_to(logs).as_posix().removeprefix("killed/")
            if log.stat().st_mtime < began or name in over:
                continue
            text = log.read_text(encoding="utf-8")
            if not name.startswith(LOOPS) or "%|" in text:
                at_work.setdefault(name, time.time())
            if name.startswith(LOOPS) and "100%|" in text:
                at_work.pop(name)
                over.add(name)

    while process.poll() is None and not any(name.startswith(awaited) for name in at_work):
        assert time.time() - began < DEADLINE_S
        time.sleep(0.05)
        look()
    time.sleep(delay_s)
    look()
    if process.poll() is not None:
        process.communicate()
        return None
    killed_at = time.time()
    os.killpg(process.pid, number)
    process.communicate(timeout=DEADLINE_S)
    begun = frozenset(map(job_of, (*at_work, *over)))
    if not at_work:
        return Moment(begun, "between jobs", None)
    last = max(at_work, key=at_work.__getitem__)
    if not last.startswith(LOOPS):
        return Moment(begun, job_of(last), None)
    saves = (project.folder / "results" / ".resume" / "saves").glob("*.pt")
    newest = max((path.stat().st_mtime for path in saves), default=0.0)
    return Moment(begun, job_of(last), max(0.0, killed_at - max(newest, at_work[last])))


def job_of(log: str) -> str:
    return log.partition("/")[0].removesuffix(".log")


@pytest.mark.parametrize(
    ("number", "cuts"), [(signal.SIGKILL, KILLS), (signal.SIGTERM, TERMINATIONS)], ids=["kill -9", "SIGTERM"]
)
def test_whatever_is_cut_off_whenever_a_rerun_ends_with_the_same_files(number, cuts, undisturbed, tmp_path):
    project, rng = copied(tmp_path / "killed"), random.Random(0)
    moments = []
    for job, most_s in cuts:
        moment = cut_off(project, number, job, rng.uniform(0, most_s))
        if moment is None:
            continue
        moments.append(moment)
        lost = "" if moment.lost_s is None else f", {moment.lost_s:.1f} s of its work lost"
        print(f"{number.name} during {moment.after}{lost}")
    assert frozenset().union(*(moment.begun for moment in moments)) >= {job for job, _ in cuts}
    assert all(moment.lost_s is None or moment.lost_s < 10 for moment in moments)
    project.snakemake("--configfile", "killed.yaml", "--rerun-incomplete")
    assert results(project) == undisturbed
    assert "Nothing to be done" in project.snakemake("--configfile", "killed.yaml")
    assert not list((project.folder / "results" / ".resume" / "saves").iterdir())
    assert not [path for folder in ("data", "results") for path in (project.folder / folder).rglob(".heldout-*")]
