"""`heldout status`: the present, missing and failed files of each experiment, and the files of no experiment."""

from collections import Counter, defaultdict

from heldout.errors import HeldoutError
from heldout.planning.steps import Step
from heldout.planning.wiring import wanted_gpus
from heldout.project.estimates import Estimates
from heldout.project.inventory import Experiment, Stored, named_digests, recorded_failure, stored, with_results
from heldout.project.text import aligned, duration, readable

PRESENT, MISSING, FAILED, DAMAGED, FOREIGN = "present", "missing", "failed", "damaged", "foreign"


def status(found: list[Experiment]) -> str:
    """Return the tables of config.yaml and of each experiment that has results here, and the foreign files by run.

    Args:
        found: all experiments of this folder; what none of them names is foreign.
    """
    return "\n\n".join([tables(with_results(found)), _foreign(stored(), named_digests(found))])


def tables(shown: list[Experiment]) -> str:
    """Return a table per experiment, a row per run, a column per model and method.

    A cell is `present` with the size on disk, `missing` with the estimated time, `failed` if a failure is recorded, or
    `damaged`.
    """
    estimates = {
        on_gpu: Estimates(on_gpu)
        for on_gpu in {wanted_gpus(experiment.plan.settings.device) > 0 for experiment in shown}
    }
    sizes = {str(entry.own): entry.size for entry in stored()}
    return "\n\n".join(
        _experiment(experiment, sizes, estimates[wanted_gpus(experiment.plan.settings.device) > 0])
        for experiment in shown
    )


def state(step: Step) -> str:
    if not step.is_made:
        return MISSING
    try:
        return FAILED if recorded_failure(step.path) else PRESENT
    except HeldoutError:
        return DAMAGED


def _experiment(experiment: Experiment, sizes: dict[str, int], estimates: Estimates) -> str:
    plan = experiment.plan
    states = {step.digest: state(step) for step in plan.trained_and_scored}
    missing = [step for step in plan.trained_and_scored if states[step.digest] == MISSING]
    seconds = {step.digest: estimates.seconds(step) for step in missing}

    def cell(step: Step) -> str:
        word = states[step.digest]
        if word == MISSING:
            return f"{MISSING} {duration(seconds[step.digest])}"
        return f"{word} {readable(sizes[step.path])}" if word == PRESENT else word

    experiment_entries = (*plan.experiment.models, *plan.experiment.methods)  # one of each may have the same name
    table = [["dataset", "held_out", "seed", *experiment_entries]]
    for run in plan.runs:
        cells = map(cell, (*run.trainings.values(), *run.scorings.values()))
        table.append([run.dataset.name, run.held_out, str(run.seed), *cells])
    counts = Counter(states.values())
    size = sum(sizes[step.path] for step in plan.trained_and_scored if states[step.digest] != MISSING)
    known = [value for value in seconds.values() if value is not None]
    unknown = len(seconds) - len(known)
    summary = f"{counts[PRESENT]} present and {counts[FAILED]} failed ({readable(size)}), {counts[MISSING]} missing"
    if counts[DAMAGED]:
        summary = f"{counts[DAMAGED]} damaged (see heldout verify), {summary}"
    if known:
        summary += f": {duration(sum(known))} on one core, estimated from earlier timings"
    if unknown:
        summary += f"{', and' if known else ':'} {unknown} without an estimate"
    title = f"{plan.settings.experiment} ({experiment.path}), {plan.settings.protocol}"
    return "\n".join([title, aligned(table), summary])


def _foreign(here: list[Stored], named: set[str]) -> str:
    """Return the table of checkpoints and scores of no experiment, by run and by model or method."""
    groups: dict[tuple[str, str], list[Stored]] = defaultdict(list)
    for entry in here:
        if entry.digest not in named and entry.step in ("train", "score"):
            run = "/".join(entry.own.parent.parts[2:])  # below results/checkpoints or results/scores
            groups[run, entry.name].append(entry)
    if not groups:
        return f"{FOREIGN}: none; every checkpoint and score belongs to an experiment"
    table = [["run", "name", FOREIGN, "size"]]
    for (run, name), entries in sorted(groups.items()):
        table.append([run, name, str(len(entries)), readable(sum(entry.size for entry in entries))])
    title = f"{FOREIGN}: files of no experiment; `heldout prune` lists them"
    return "\n".join([title, aligned(table)])
