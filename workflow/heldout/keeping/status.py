"""`heldout status`: what of each experiment is there, what is missing and takes how long, and what nobody names."""

from collections import Counter, defaultdict

import pandas as pd
from tqdm import tqdm

from heldout.keeping.estimates import Estimates
from heldout.keeping.inventory import Experiment, Stored, named_digests, readable, recorded_failure, stored
from heldout.plan import Step

PRESENT, MISSING, FAILED, FOREIGN = "present", "missing", "failed", "foreign"


def status(found: list[Experiment]) -> str:
    """Return a table per experiment, a row per run, a column per model and method, and the foreign files by run.

    A cell is `present` with the size on disk, `missing` with the estimated time, or `failed`, a recorded result.
    """
    here, estimates = stored(), Estimates()
    parts = [_experiment(experiment, here, estimates) for experiment in found]
    return "\n\n".join([*parts, _foreign(here, named_digests(found))])


def state(step: Step) -> str:
    if not step.is_made:
        return MISSING
    return FAILED if recorded_failure(step.path) else PRESENT


def _experiment(experiment: Experiment, here: dict[str, Stored], estimates: Estimates) -> str:
    plan = experiment.plan
    states = {step.digest: state(step) for step in plan.trained_and_scored}
    missing = [step for step in plan.trained_and_scored if states[step.digest] == MISSING]
    seconds = {step.digest: estimates.seconds(step) for step in missing}

    def cell(step: Step) -> str:
        word = states[step.digest]
        if word == MISSING:
            return f"{MISSING} {_duration(seconds[step.digest])}"
        return f"{word} {readable(here[step.digest].size)}" if word == PRESENT else word

    rows = []
    for run in plan.runs:
        row = {"dataset": run.dataset.name, "held_out": run.held_out, "seed": str(run.seed)}
        rows.append(row | {name: cell(step) for name, step in {**run.trainings, **run.scorings}.items()})
    counts = Counter(states.values())
    size = sum(here[digest].size for digest, word in states.items() if word != MISSING)
    known = [value for value in seconds.values() if value is not None]
    unknown = len(seconds) - len(known)
    summary = f"{counts[PRESENT]} present and {counts[FAILED]} failed ({readable(size)}), {counts[MISSING]} missing"
    if known:
        summary += f": {_duration(sum(known))} on one core, by earlier timings"
    if unknown:
        summary += f"{', and' if known else ':'} {unknown} of unknown length"
    title = f"{plan.settings.experiment} ({experiment.path}), {plan.settings.protocol}"
    return "\n".join([title, _aligned(pd.DataFrame(rows)), summary])


def _foreign(here: dict[str, Stored], named: set[str]) -> str:
    """Count what no experiment names, by run and by model or method."""
    groups: dict[tuple[str, str], list[Stored]] = defaultdict(list)
    for digest, found in here.items():
        if digest not in named and found.step in ("train", "score"):
            run = "/".join(found.own.parent.parts[2:])  # below results/checkpoints or results/scores
            groups[run, found.name].append(found)
    if not groups:
        return f"{FOREIGN}: none; every checkpoint and score is named by an experiment"
    rows = [
        {"run": run, "name": name, FOREIGN: str(len(files)), "size": readable(sum(found.size for found in files))}
        for (run, name), files in sorted(groups.items())
    ]
    title = f"{FOREIGN}: named by no experiment; `heldout prune` lists the files"
    return "\n".join([title, _aligned(pd.DataFrame(rows))])


def _aligned(table: pd.DataFrame) -> str:
    """Return a table of strings, left-aligned: pandas' own leans to the right."""
    widths = [max(map(len, [name, *table[name]])) for name in table]
    lines = [table.columns, *table.itertuples(index=False)]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _duration(seconds: float | None) -> str:
    """`~02:05` for two minutes and five seconds; `?` where it is unknown."""
    return "?" if seconds is None else f"~{tqdm.format_interval(round(seconds))}"
