"""Writes `inputs.json`, the inputs of an experiment's tables and figures, and finds which results are made from it.

Snakemake compares modification times, so it would not notice that an experiment now names other scores, nor that its
tables are of other scores although their clock is ahead. Therefore each step that writes results leaves a record of
what it was made from, and planning names the record that it wants: the one that is there, if it agrees with the plan
and with the files that it names, and else a new one, which Snakemake finds missing.

Planning writes the list outside the experiment's folder, and a rule copies it there. So a dry run, or a run that
Snakemake refuses because the folder is locked, changes nothing in the experiment's folder.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from heldout.planning.identity import source_digest
from heldout.planning.plan import Plan
from heldout.planning.resolve import facts_of
from heldout.planning.steps import Run
from heldout.storage import report_records
from heldout.storage.files import SCRATCH, write_text
from heldout.storage.hashing import DIGITS, digest, file_sha256, sha256_of_bytes
from heldout.storage.report_inputs import MethodEntry, ReportInputs, RunFiles
from heldout.storage.report_records import ReportRecord
from heldout.storage.sealed import SEAL, sealed
from heldout.storage.sidecars import SPEC, sidecar

MISSING = "missing"
READ_BY_OTHERS = ("inputs", "evaluate")  # steps whose files others read, so that a changed one is made again


class Report(NamedTuple):
    """The files of the rules that write results.

    Attributes:
        inputs, record: the list of inputs, and the record of its copy, for a rule to copy.
        records: the record that each step is to have.
    """

    inputs: str
    record: str
    records: dict[str, str]


def write(plan: Plan) -> Report:
    """Write the list, unless it exists.

    Raises:
        HeldoutError: the folder cannot be written to.
    """
    listed = sealed(asdict(content(plan)))
    text = json.dumps(listed, indent=1, ensure_ascii=False) + "\n"
    inputs = listed[SEAL]
    copied = sealed(asdict(ReportRecord(inputs=inputs, written={plan.inputs: sha256_of_bytes(text.encode())})))
    written, record = (Path(f"results/{SCRATCH}/{kind}-{inputs[:DIGITS]}.json") for kind in ("inputs", "record"))
    for path, wanted in ((written, text), (record, json.dumps(copied) + "\n")):
        if not path.is_file() or path.read_bytes() != wanted.encode():
            write_text(path, wanted)
    return Report(str(written), str(record), _records(plan, inputs))


def _records(plan: Plan, inputs: str) -> dict[str, str]:
    """Return the record that each step is to have: that of today's inputs, or the name of a new one."""
    folder = Path(plan.folder)
    steps = ["inputs", "evaluate", "tables", *(f"figure_{kind}" for kind in plan.subjects), "manifest"]
    found = {step: report_records.all_of(folder, step) for step in steps}
    now: dict[str, str | None] = {}  # the hash of each file that a step reads
    for records in found.values():
        for each in records.values():
            now |= each.written

    def is_current(step: str, record: ReportRecord) -> bool:
        for path in record.read:
            if path not in now:
                now[path] = _sha256_beside(path)
        files = record.written if step in READ_BY_OTHERS else {}
        return (
            record.inputs == inputs
            and all(now[path] in (sha256, MISSING) for path, sha256 in record.read.items())
            and all(Path(path).is_file() and file_sha256(Path(path)) == sha256 for path, sha256 in files.items())
        )

    wanted = {}
    for step, records in found.items():
        current = [path for path, record in records.items() if is_current(step, record)]
        present = [str(path) for path in report_records.paths(folder, step)]
        wanted[step] = str((*current, report_records.path_of(folder, step, digest([inputs, present])))[0])
    return wanted


def _sha256_beside(path: str) -> str | None:
    """Return the hash that the spec file beside a checkpoint or a score file states, without checking it.

    A file that is missing makes no result stale: Snakemake computes it again if a step needs it.
    """
    if not Path(path).exists():
        return MISSING
    try:
        return json.loads(sidecar(path, SPEC).read_bytes())["sha256"]
    except (OSError, ValueError, LookupError, TypeError):  # the step that reads it will say more
        return None


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
