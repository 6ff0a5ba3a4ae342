"""The subjects of each kind of figure: the classes or the models of each dataset."""

from dataclasses import replace

from heldout.planning import schema
from heldout.planning.resolve import DatasetEntry, Resolved
from heldout.planning.tasks import rows
from heldout.storage.report_inputs import Subject

GENERATORS = {"generator", "conditional_generator"}


def subjects(experiment: Resolved) -> dict[str, list[Subject]]:
    """Return the subjects by kind of figure; a kind without subjects is left out."""
    several = len(experiment.datasets) > 1
    drawn: dict[str, list[Subject]] = {}
    for kind, names in experiment.figures.items():
        facts = schema.plugins("figure")[kind]
        methods = [experiment.methods[name].label for name in names] if facts["shows"] else []
        for name, dataset in experiment.datasets.items():
            prefix = f"{kind}-{name}" if several else kind
            if facts["one_per"] == "model":
                models = _generators(experiment)
                found = [Subject(stem=f"{prefix}-{model}", dataset=name, model=model) for model in models]
            else:
                by_row = "tables" in facts["reads"]  # else by run: one run covers several groups of anomalies
                classes = _rows(experiment, dataset) if by_row else experiment.held_out[name]
                found = [Subject(stem=f"{prefix}-{each}", dataset=name, held_out=each) for each in classes]
                if facts["one_per"] == "held_out_and_mean" and experiment.settings.protocol != "folders":
                    found.append(Subject(stem=f"{prefix}-all", dataset=name))
            if found:
                drawn.setdefault(kind, []).extend(replace(subject, methods=methods) for subject in found)
    return drawn


def _rows(experiment: Resolved, dataset: DatasetEntry) -> list[str]:
    anomalous = [name for name in dataset.classes if name not in dataset.normal]
    return rows(experiment.settings.protocol, experiment.held_out[dataset.name], anomalous)


def _generators(experiment: Resolved) -> list[str]:
    """Return the entries of `models` that have a generator."""
    plugins = schema.plugins("model")
    return [entry.name for entry in experiment.models.values() if GENERATORS & {*plugins[entry.plugin]["provides"]}]
