"""Which trainings and scorings share a job of a cluster, and the minutes that each adds to the request of its job.

    run time of a job = one start + the work of its steps

Steps share a job up to a run time, not up to a number: a partition with a short limit takes jobs of small steps, and a
long step has its own. The first step of a job counts the start.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from heldout.planning.resources import STARTING, Needs, of_step
from heldout.planning.steps import ScoreStep, TrainStep
from heldout.planning.work import uses_network

LONGEST = 20  # minutes that a job of several steps requests; a third attempt requests three times as much, an hour
KINDS = {"train": "trainings", "score": "scorings"}  # by which a profile's `group-components` limit their number


class Share(NamedTuple):
    """The job of a step, and the minutes that the step adds to its request."""

    job: str
    runtime: int


def work(needs: Needs) -> int:
    """Return the minutes of a step in a job that has started; at least one, for Python."""
    return max(1, needs.runtime - STARTING)


def shares(steps: Iterable[TrainStep | ScoreStep], most: Mapping[str, int]) -> dict[str, Share]:
    """Return the job of each step, by digest.

    A job contains steps that follow each other in an order in which every step comes after those whose files it reads.
    So no two jobs wait for each other.

    Args:
        steps: those to run.
        most: the largest number of steps in a job, by kind; 1 if a kind is missing.
    """
    found: dict[str, Share] = {}
    job, alike, count, minutes = "", None, 0, 0
    for step in sorted(steps, key=_order):
        kind, needed = KINDS[step.spec.step], work(of_step(step))
        is_full = count >= most.get(kind, 1) or minutes + needed > LONGEST
        if alike != _order(step) or is_full:
            job, alike, count, minutes = f"{kind}-{step.digest}", _order(step), 0, STARTING
            found[step.digest] = Share(job, STARTING + needed)
        else:
            found[step.digest] = Share(job, needed)
        count, minutes = count + 1, minutes + needed
    return found


def _order(step: TrainStep | ScoreStep) -> tuple[bool, bool, bool]:
    """Trainings before scorings, each after those that it reads; steps with a network may need a GPU, others do not."""
    if isinstance(step, TrainStep):
        return False, step.parent is not None, False
    return True, bool(step.joined), not uses_network(step.spec)
