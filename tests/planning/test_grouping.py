"""Steps share a job of a cluster up to a run time; a job asks for the work of its steps and one start."""

from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import pytest

from heldout.planning.grouping import LONGEST, shares, work
from heldout.planning.plan import Plan
from heldout.planning.resolve import resolve
from heldout.planning.resources import STARTING, of_step
from heldout.planning.steps import TrainStep
from heldout.planning.wiring import Wiring
from heldout.storage.files import write_text
from heldout.storage.sidecars import BESIDE, sidecar

SMALL = {"steps": 20, "width": 4, "batch": 8, "latent": 8}
BASE = {
    "experiment": "trial",
    "datasets": {"mnist5k": {}},
    "held_out": [0, 1, 2, 3],
    "test_items": 100,
    "calibration": 0.1,
    "models": {"dcgan": SMALL, "izi_encoder": {"parent": "dcgan", "steps": 20, "batch": 8, "width": 4}},
    "methods": {
        "mean_image": {},
        "adgan": {"model": "dcgan", "starts": 2, "steps": 1},
        "fanogan": {},
        "both": {"method": "combine", "of": ["adgan", "mean_image"]},
    },
}
MANY = {"trainings": 50, "scorings": 50}


@pytest.fixture(autouse=True)
def empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def planned(**changes: object) -> Plan:
    return Plan(resolve(BASE | changes, where="trial.yaml"))


def jobs(plan: Plan, most: dict[str, int] = MANY) -> dict[str, list]:
    """The steps of each job."""
    found = defaultdict(list)
    steps = {step.digest: step for step in plan.trained_and_scored}
    for digest, share in shares(steps.values(), most).items():
        found[share.job].append(steps.pop(digest))
    assert not steps
    return found


def requested(plan: Plan, most: dict[str, int] = MANY) -> dict[str, int]:
    minutes = defaultdict(int)
    for share in shares(plan.trained_and_scored, most).values():
        minutes[share.job] += share.runtime
    return minutes


def test_a_job_requests_the_work_of_its_steps_and_one_start():
    plan = planned()
    minutes = requested(plan)
    for job, steps in jobs(plan).items():
        assert minutes[job] == STARTING + sum(work(of_step(step)) for step in steps)
        assert minutes[job] <= LONGEST or len(steps) == 1


def test_eight_small_scorings_fit_into_a_partition_of_one_hour_even_the_third_time():
    plan = planned(models={}, methods={"mean_image": {}, "isolation_forest": {}})
    (minutes,) = requested(plan).values()
    assert len(plan.trained_and_scored) == 8 and 3 * minutes <= 60


def test_a_step_of_hours_has_a_job_of_its_own():
    plan = planned(models={"dcgan": SMALL | {"steps": 10**6}, "wgan": SMALL}, methods={"mean_image": {}})
    long = [steps for steps in jobs(plan).values() if any(step.spec.params.get("steps") == 10**6 for step in steps)]
    assert [len(steps) for steps in long] == [1] * 4


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_profile_limits_the_number_of_steps(count):
    counts = [len(steps) for steps in jobs(planned(), {"trainings": count, "scorings": count}).values()]
    assert max(counts) == count
    assert {len(steps) for steps in jobs(planned(), {}).values()} == {1}


def test_no_two_jobs_wait_for_each_other():
    plan = planned(held_out="all", seeds=[0, 1])
    job_of = {step.digest: job for job, steps in jobs(plan).items() for step in steps}
    waits = defaultdict(set)
    for step in plan.trained_and_scored:
        read = [step.parent] if isinstance(step, TrainStep) else [step.checkpoint, *step.joined]
        waits[job_of[step.digest]] |= {job_of[other.digest] for other in read if other} - {job_of[step.digest]}
    done: set[str] = set()
    while ready := {job for job in set(job_of.values()) - done if waits[job] <= done}:
        done |= ready
    assert done == set(job_of.values())


def test_steps_with_and_without_a_network_share_no_job():
    for steps in jobs(planned()).values():
        scorings = [step for step in steps if step.spec.step == "score"]
        assert len({step.checkpoint is None for step in scorings}) <= 1


def test_finished_steps_count_in_no_job_and_a_split_after_its_preparation_counts_no_start():
    plan = planned()
    steps = [run.trainings["dcgan"] for run in plan.runs]
    for path in (steps[0].path, *(sidecar(steps[0].path, kind) for kind in BESIDE["train"])):
        write_text(Path(path), "")
    wiring, split = Wiring(plan, grouped=lambda: MANY), plan.runs[0].split
    asked = [wiring.runtime(SimpleNamespace(digest=step.digest), 1) for step in steps]
    assert asked == [STARTING + 1, STARTING + 1, 1, 1]  # the first is alone, should it be repeated
    assert wiring.job(SimpleNamespace(digest=steps[1].digest)) == wiring.job(SimpleNamespace(digest=steps[3].digest))
    assert wiring.runtime(SimpleNamespace(digest=split.digest), 2) == 2 * work(of_step(split))
