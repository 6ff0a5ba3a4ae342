"""`results/<experiment>/experiment.yaml`: the experiment with all its parameters, and the files that it was read from.

The folder of results has the experiment's name, so a second file with that name would replace the first one's tables.
"""

import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from heldout.errors import HeldoutError
from heldout.planning import experiment_file
from heldout.planning.plan import Plan
from heldout.planning.resolve import DatasetEntry, Entry
from heldout.storage.files import write_text

KEPT = "experiment.yaml"
_FROM = re.compile(r"# From (\[.*\]), with every default\.")


def keep(plan: Plan, files: list[str]) -> None:
    """Write the experiment as its run begins; it can be run as an experiment file.

    A line on stderr says if the folder held the results of another file.

    Args:
        plan: of the experiment.
        files: the experiment files that Snakemake merged.
    """
    names = json.dumps([os.path.relpath(name) for name in files], ensure_ascii=False)
    head = f"# From {names}, with every default. Each run under this name writes this file as it begins.\n"
    text = head + yaml.dump(_content(plan), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    path = _path(plan)
    if owners := _others(plan, files):
        print(
            f"heldout: {plan.folder} held the results of {' with '.join(owners)}; this run replaces them",
            file=sys.stderr,
        )
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)


def refuse_name_of_another(plan: Plan, files: list[str], where: str) -> None:
    """Raise HeldoutError if the folder of results belongs to another experiment file that still has this name.

    A file that was renamed, or whose experiment has another name now, no longer owns the folder.

    Args:
        plan: of the experiment.
        files: the experiment files that are merged.
        where: their names, for the message.
    """
    name, owners = plan.settings.experiment, _others(plan, files)
    if owners and _name_in(owners) == name:
        raise HeldoutError(
            f"{where}: `experiment: {name}` is also the name of {' with '.join(owners)}, whose tables "
            f"are in {plan.folder}; give one of them another name"
        )


def _path(plan: Plan) -> Path:
    return Path(plan.folder) / KEPT


def _others(plan: Plan, files: list[str]) -> list[str]:
    """Return the files whose results the folder holds, if they are not today's."""
    owners, today = _owners(_path(plan)), {Path(file).resolve() for file in files}
    is_own = today in ({Path(file).resolve() for file in owners}, {_path(plan).resolve()})
    return [] if is_own else owners


def _owners(path: Path) -> list[str]:
    try:
        stated = _FROM.match(path.read_text(encoding="utf-8"))
        return json.loads(stated[1]) if stated else []
    except (OSError, ValueError):
        return []


def _name_in(files: list[str]) -> Any:
    """Return the name that the files give the experiment; None if one of them cannot be read any more."""
    try:
        return experiment_file.of_run(files, [])[0].get("experiment")
    except HeldoutError:
        return None


def _content(plan: Plan) -> dict[str, Any]:
    experiment = plan.experiment
    content = {"experiment": experiment.settings.experiment, **experiment.settings.model_dump(mode="json")}
    groups: dict[str, Mapping[str, Entry]] = {
        "datasets": experiment.datasets,
        "models": experiment.models,
        "methods": experiment.methods,
    }
    for kind, entries in groups.items():
        given, reads = content[kind], "parent" if kind == "models" else "model"
        content[kind] = {name: _entry(given[name], entry, reads) for name, entry in entries.items()}
    return content


def _entry(given: dict[str, Any], entry: Entry, reads: str) -> dict[str, Any]:
    split = entry.split.model_dump() if isinstance(entry, DatasetEntry) else {}
    own = {key: split[key] for key in given if key in split}
    return {**given, **own, **entry.params, **({reads: entry.model} if entry.model else {})}


class _Dumper(yaml.SafeDumper):
    """Quotes every text that some reader of YAML would take for a number, a date or a truth value."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    is_word = type(experiment_file.scalar(text)) is str
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style=None if is_word else '"')


_Dumper.add_representer(str, _text)
_Dumper.add_representer(experiment_file.Plain, _text)
