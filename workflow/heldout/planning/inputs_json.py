"""Writes `inputs.json`: the inputs of an experiment's tables and figures.

Snakemake compares modification times, so it would not notice that an experiment now names other scores. Therefore
planning writes the list outside the experiment's folder, and a rule copies it there if it has changed. So a dry run, or
a run that Snakemake refuses because the folder is locked, changes nothing in the experiment's folder.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from heldout.planning.identity import source_digest
from heldout.planning.plan import Plan
from heldout.planning.resolve import facts_of
from heldout.planning.steps import Run
from heldout.storage.files import SCRATCH, write_text
from heldout.storage.hashing import digest
from heldout.storage.report_inputs import MethodEntry, ReportInputs, RunFiles


class InputsFile(NamedTuple):
    """The file for the rule to copy, and whether it differs from the experiment's `inputs.json`."""

    path: str
    is_new: bool


def write(plan: Plan) -> InputsFile:
    """Write the list, unless the same list exists.

    Raises:
        HeldoutError: the folder cannot be written to.
    """
    listed = asdict(content(plan))
    text = json.dumps(listed, indent=1, ensure_ascii=False) + "\n"
    present, written = Path(plan.inputs), Path(f"results/{SCRATCH}/inputs-{digest(listed)}.json")
    is_new = not present.is_file() or present.read_text(encoding="utf-8") != text
    if is_new or not written.is_file():
        write_text(written, text)
    return InputsFile(str(written), is_new)


def content(plan: Plan) -> ReportInputs:
    """Return the content of `inputs.json`."""
    floor_first = sorted(plan.experiment.methods.values(), key=lambda entry: entry.plugin != "mean_image")
    labels = {entry.name: entry.label for entry in floor_first}
    figures = [path for paths in plan.figures.values() for path in paths]
    # With the digests of the source, a change of the code makes tables and figures again.
    sources = {step: source_digest(step) for step in ("evaluate", "tables")}
    sources |= {f"figures.{kind}": source_digest("draw", kind) for kind in plan.subjects}
    return ReportInputs(
        experiment=plan.settings.experiment,
        bootstrap=plan.settings.bootstrap,
        source=sources,
        methods={
            entry.label: MethodEntry(
                method=entry.plugin,
                model=entry.model,
                family=facts_of(entry)["family"],
                supervision=entry.supervision,
            )
            for entry in floor_first
        },
        runs=[_run(plan, run, labels) for run in plan.runs],
        figures=plan.subjects,
        results=[*plan.tables, *figures, plan.metrics],
    )


def _run(plan: Plan, run: Run, labels: dict[str, str]) -> RunFiles:
    return RunFiles(
        dataset=run.dataset.name,
        protocol=plan.settings.protocol,
        held_out=run.held_out,
        seed=run.seed,
        images=run.prepared.path,
        labels=run.prepared.labels,
        split=run.split.path,
        split_digest=run.split.digest,
        checkpoints={name: step.path for name, step in run.trainings.items()},
        scores={label: run.scorings[name].path for name, label in labels.items()},
    )
