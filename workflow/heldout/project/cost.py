"""`heldout cost`: the number of an experiment's trainings and scorings, and an estimate of their time."""

from heldout.planning.steps import ScoreStep, TrainStep
from heldout.planning.wiring import wanted_gpus
from heldout.project.estimates import Estimates
from heldout.project.inventory import Experiment
from heldout.project.text import aligned, duration


def cost(experiment: Experiment) -> str:
    """Return a table of the finished and missing steps of each model and method and their time, and the total time.

    If there is no timing of a similar step, a trial on the experiment's device gives the estimate. A step that several
    runs or entries share counts once, for the first of them.
    """
    plan = experiment.plan
    on_gpu = wanted_gpus(plan.settings.device) > 0
    estimates = Estimates(on_gpu, plan.settings.device)
    entries: dict[tuple[str, str], dict[str, TrainStep | ScoreStep]] = {}
    seen: set[str] = set()
    for run in plan.runs:
        for kind, steps in (("train", run.trainings), ("score", run.scorings)):
            for name, step in steps.items():
                new = {} if step.digest in seen else {step.digest: step}
                entries.setdefault((kind, name), {}).update(new)
                seen.add(step.digest)
    table = [["step", "entry", "total", "done", "to do", "time each", "time to do"]]
    known, unknown = 0.0, 0
    for (kind, name), steps in entries.items():
        missing = [step for step in steps.values() if not step.is_made]
        seconds = [estimates.seconds(step) for step in missing]
        together = None if None in seconds else sum(seconds)
        each = together / len(missing) if missing and together is not None else None
        known += sum(value for value in seconds if value is not None)
        unknown += seconds.count(None)
        counts = [str(len(steps)), str(len(steps) - len(missing)), str(len(missing))]
        table.append([kind, name, *counts, *([duration(each), duration(together)] if missing else ["", ""])])
    trainings, scorings = (
        sum(len(steps) for (kind, _), steps in entries.items() if kind == k) for k in ("train", "score")
    )
    return "\n".join(
        [
            f"{plan.settings.experiment} ({experiment.path}): {trainings} trainings, {scorings} scorings",
            aligned(table),
            _summary(known, unknown, "GPU" if on_gpu else "CPU", _sources(estimates)),
        ]
    )


def _sources(estimates: Estimates) -> str:
    timings = [f"earlier timings on {', '.join(sorted(estimates.devices))}"] if estimates.devices else []
    tried = [f"a trial of a few steps on {estimates.tried}"] if estimates.tried else []
    return " and ".join([*timings, *tried])


def _summary(known: float, unknown: int, kind: str, sources: str) -> str:
    parts = []
    if known:
        hours = known / 3600
        amount = f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"
        parts.append(f"to do: about {amount} {kind} hours with one job at a time, estimated from {sources}")
    if unknown:
        parts.append(
            f"{unknown} to do without an estimate: fitted in seconds or minutes, or on images that are missing here"
        )
    return "; ".join(parts) or "nothing to do"
