"""The origins of the files behind an experiment's tables: libraries, code, processor, GPU and backends of each file.

A rerun computes only missing files, so a table may contain results of different versions or machines. Notes under the
tables and `manifest.json` list them.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heldout.evaluation.inputs import Inputs
from heldout.storage.report_inputs import RunFiles
from heldout.storage.sidecars import recorded_environment

UNKNOWN = "not recorded"
COMMIT_DIGITS = 12
MOST_NAMED = 6  # runs of an entry that a note names; `manifest.json` names all files


@dataclass(frozen=True)
class Made:
    """A checkpoint or score file: its entry of `models` or `methods`, its run, and its origin by aspect."""

    path: str
    entry: str
    run: RunFiles
    origin: dict[str, str]


def mixed(inputs: Inputs) -> dict[str, dict[str, list[Made]]]:
    """Return the files by aspect and value, the most frequent value first; only aspects with several values."""
    files = _files(inputs)
    found: dict[str, dict[str, list[Made]]] = {}
    for aspect in dict.fromkeys(aspect for made in files for aspect in made.origin):
        # Only a scoring with a search has a backend; an earlier version did not record all other facts.
        within = files if "backend" not in aspect else [made for made in files if aspect in made.origin]
        values: dict[str, list[Made]] = defaultdict(list)
        for made in within:
            values[made.origin.get(aspect, UNKNOWN)].append(made)
        if len(values) > 1:
            found[aspect] = dict(sorted(values.items(), key=lambda item: -len(item[1])))
    return found


def note(inputs: Inputs) -> list[str]:
    """Return the line under a table that lists mixed origins and their rows; empty if all files have one origin."""
    several = len({run.dataset for run in inputs.runs}) > 1, len({run.seed for run in inputs.runs}) > 1
    total = Counter(made.entry for made in _files(inputs))
    parts = []
    for aspect, values in mixed(inputs).items():
        (usual, _), *others = values.items()
        named = [f"{value} for {_rows(files, total, *several)}" for value, files in others]
        parts.append(f"{aspect}: {usual}, but {'; '.join(named)}.")
    return [" ".join(["Mixed origins.", *parts])] if parts else []


def _files(inputs: Inputs) -> list[Made]:
    found: dict[tuple[str, str], Made] = {}
    for run in inputs.runs:
        models = [(f"the model {name}", path) for name, path in run.checkpoints.items()]
        for entry, path in (*models, *run.scores.items()):
            if Path(path).is_file():  # scores may be evaluated without checkpoints
                found[entry, path] = Made(path, entry, run, _origin(recorded_environment(path)))
    return list(found.values())


def _origin(ran: dict[str, Any]) -> dict[str, str]:
    commit = str(ran.get("commit") or UNKNOWN)
    digits, _, is_dirty = commit.partition("-")
    origin = {name: str(value) for name, value in ran.get("versions", {}).items()}
    origin["commit"] = commit if commit == UNKNOWN else digits[:COMMIT_DIGITS] + (" with changes" if is_dirty else "")
    for aspect in ("device", "processor", "package"):
        origin[aspect] = str(ran.get(aspect) or UNKNOWN)
    return origin | {f"backend of the {name}": str(value) for name, value in ran.get("backends", {}).items()}


def _rows(files: list[Made], total: Counter[str], name_dataset: bool, name_seed: bool) -> str:
    """Return the names of the rows of files: entries, with the runs if only some runs of an entry are concerned."""
    by_entry: dict[str, list[RunFiles]] = defaultdict(list)
    for made in files:
        by_entry[made.entry].append(made.run)
    words = []
    for entry, runs in by_entry.items():
        names = [
            " ".join([run.dataset] * name_dataset + [run.held_out] + [f"seed {run.seed}"] * name_seed) for run in runs
        ]
        if len(names) > MOST_NAMED:
            names = [f"{len(names)} of {total[entry]} runs"]
        words.append(entry if len(runs) == total[entry] else f"{entry} ({', '.join(names)})")
    return ", ".join(words)
