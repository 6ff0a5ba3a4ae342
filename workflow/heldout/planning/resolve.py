"""Checks an experiment's entries, fills in default parameters, and resolves references between entries.

Parameters are checked against the stored schema, so no plug-in is imported.
"""

from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import jsonschema
from pydantic import ValidationError

from heldout.errors import HeldoutError, unknown
from heldout.planning import schema
from heldout.planning.experiment import Settings, explained
from heldout.planning.split_settings import SplitSettings
from heldout.planning.tasks import WHOLE, class_slugs, slug
from heldout.planning.typed import is_word, named, typed


@dataclass(frozen=True)
class Entry:
    """An entry of `models` or `methods` with all its parameters.

    Attributes:
        name: the entry's name in the experiment.
        plugin: the registered name; for a combination `combine`, with the rule's name as the parameter `by`.
        params: all parameters, with defaults.
        model: the entry of `models` that a method reads, or on which a model is trained; None: there is none.
        joins: for a combination, the entries of `methods` that it combines, each with a column.
        supervision: the word by which tables say that a method uses labelled anomalies; empty if it uses none.
        weights: the published weights that its parameters require, if any.
    """

    name: str
    plugin: str
    params: dict[str, Any]
    model: str | None = None
    joins: tuple[tuple[str, str], ...] = ()
    supervision: str = ""
    weights: str | None = None

    @property
    def label(self) -> str:
        """The method's name in tables and figures, with its supervision, if any."""
        return f"{self.name} ({self.supervision})" if self.supervision else self.name


@dataclass(frozen=True)
class DatasetEntry(Entry):
    """An entry of `datasets`.

    Attributes:
        split: the settings of its splits; the entry's own settings override those of the experiment.
    """

    split: SplitSettings = field(kw_only=True)

    @property
    def classes(self) -> list[str]:
        """The slugs of all classes, in the order of their numbers."""
        official = schema.plugins("dataset")[self.plugin]["classes"]
        return class_slugs(f"datasets.{self.name}", official, self.params)

    @property
    def normal(self) -> list[str]:
        """The slugs of the classes that the dataset itself calls normal."""
        return [slug(name) for name in self.params.get("normal") or []]


@dataclass(frozen=True)
class Resolved:
    """A checked experiment.

    Attributes:
        held_out: the held-out classes of each dataset.
        figures: the kinds to draw, each with the entries of `methods` that it can show.
    """

    settings: Settings
    datasets: dict[str, DatasetEntry]
    models: dict[str, Entry]
    methods: dict[str, Entry]
    held_out: dict[str, list[str]]
    figures: dict[str, list[str]]


def resolve(config: dict[str, Any], where: str) -> Resolved:
    """Check an experiment and fill in its defaults.

    Args:
        config: as `experiment_file.load` reads it, or of Python's own types; numbers may be strings.
        where: the file's name, for messages.

    Raises:
        HeldoutError: one line with the place, the mistake and the likely correction.
    """
    try:
        settings = Settings.model_validate(_typed(config, where))
    except ValidationError as error:
        raise explained(error, where) from error
    datasets = {name: _dataset(name, settings, where) for name in settings.datasets}
    alone = {name: _entry("model", name, given, where) for name, given in settings.models.items()}
    models = {name: _with_model(entry, settings.models[name], alone, where) for name, entry in alone.items()}
    splits = [dataset.split for dataset in datasets.values()]
    alone = {
        name: _method(name, settings, splits, models, where)
        for name, given in settings.methods.items()
        if given.get("method", name) != schema.COMBINE
    }
    methods = {
        name: alone[name] if name in alone else _combination(name, settings, alone, splits, where)
        for name in settings.methods
    }
    held_out = {name: _classes(settings, entry, where) for name, entry in datasets.items()}
    figures = {kind: _shown_in(kind, models, methods, where) for kind in settings.figures}
    return Resolved(settings, datasets, models, methods, held_out, figures)


def _typed(config: dict[str, Any], where: str) -> dict[str, Any]:
    """Return the experiment after reading the settings, and the names in its entries."""
    found: dict[str, Any] = {key: typed(value, _rules().get(key), f"{where}, {key}") for key, value in config.items()}
    for section in (f"{kind}s" for kind in schema.NAMED):
        if isinstance(entries := found.get(section), dict):
            found[section] = {
                name: named(given, f"{where}, {section}.{name}") if isinstance(given, dict) else given
                for name, given in entries.items()
            }
    return found


@cache
def _rules() -> dict[str, Any]:
    return Settings.model_json_schema()["properties"]


def complete(given: dict[str, Any], kind: str, plugin: str, where: str) -> dict[str, Any]:
    """Return all parameters of a plug-in: the given ones, checked for type and range, and the defaults."""
    rules = schema.parameters(kind, plugin)
    for key, rule in rules.items():
        if "default" not in rule and key not in given:
            raise HeldoutError(f"{where}: {plugin} needs {key!r}, {rule['description']}. See: heldout {kind}s {plugin}")
    for key in given:
        if key not in rules:
            known = list(rules)
            raise unknown(where, f"parameter of {plugin}", key, known, see=f"heldout {kind}s {plugin}")
    values = {key: typed(given.get(key, rule.get("default")), rule, f"{where}.{key}") for key, rule in rules.items()}
    for key, rule in rules.items():
        error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(rule).iter_errors(values[key]))
        if error is not None:
            few = f"at least {error.validator_value} are needed, not {error.instance}"
            message = few if error.validator == "minItems" else error.message
            raise HeldoutError(f"{where}.{key}: {message}. See: heldout {kind}s {plugin}")
    return values


def _entry(kind: str, name: str, given: dict[str, Any], where: str) -> Entry:
    where = f"{where}, {kind}s.{name}"
    plugin = given.get(kind, name)
    known = schema.plugins(kind)
    if not isinstance(plugin, str) or plugin not in known:
        raise unknown(where, kind, plugin, known, see=f"heldout {kind}s")
    naming = {kind, *schema.structure(kind, plugin)}
    params = {key: value for key, value in given.items() if key not in naming}
    return Entry(name, plugin, complete(params, kind, plugin, where))


def _dataset(name: str, settings: Settings, where: str) -> DatasetEntry:
    given = settings.datasets[name]
    own = {
        key: typed(value, _rules()[key], f"{where}, datasets.{name}.{key}")
        for key, value in given.items()
        if key in SplitSettings.model_fields
    }
    entry = _entry("dataset", name, {key: value for key, value in given.items() if key not in own}, where)
    _refuse_other_classes(entry, f"{where}, datasets.{name}")
    try:
        split = SplitSettings(**settings.model_dump(include=set(SplitSettings.model_fields)) | own)
    except ValidationError as error:
        raise explained(error, f"{where}, datasets.{name}") from error
    if settings.protocol == "folders":
        normal, where = entry.params.get("normal"), f"{where}, datasets.{name}"
        if "normal" not in entry.params:
            raise HeldoutError(f"{where}: {entry.plugin} has no option `normal`; choose one_class or leave_one_out")
        if not normal or set(normal) == set(entry.params["classes"]):
            problem = "names every class" if normal else "is missing"
            raise HeldoutError(
                f"{where}.normal {problem}; under the protocol folders it names the classes that are trained on, and "
                "the others are anomalous"
            )
    return DatasetEntry(entry.name, entry.plugin, entry.params, split=split)


def _with_model(
    entry: Entry, given: dict[str, Any], models: dict[str, Entry], where: str, kind: str = "model"
) -> Entry:
    """Return the entry with the model that it reads, if any, after checking that the model provides those parts."""
    facts = schema.facts(kind, entry.plugin, entry.params)
    if not facts["reads"]:
        return entry
    where = f"{where}, {kind}s.{entry.name}"
    key = "model" if kind == "method" else "parent"
    model = given.get(key, facts["default_model"])
    others = {name: other for name, other in models.items() if other is not entry}
    if not isinstance(model, str) or model not in others:
        if not others:
            raise HeldoutError(f"{where}: it reads the model {model!r}; add `models: {{{model}: {{}}}}`")
        if key not in given:
            there = ", ".join(others)
            raise HeldoutError(f"{where}: it reads the model {model!r}; add that, or name one with `{key}:` ({there})")
        raise unknown(where, "entry of models", model, others)
    read = schema.plugins("model")[others[model].plugin]
    lacking = [part for part in facts["reads"] if part not in read["provides"]]
    if lacking:
        raise HeldoutError(f"{where}: {entry.plugin} reads {' and '.join(sorted(lacking))}, which {model} lacks")
    if kind == "model" and read["reads"]:
        raise HeldoutError(f"{where}: {model} is itself trained on another model; name one that is not")
    return replace(entry, model=model)


def _method(name: str, settings: Settings, splits: list[SplitSettings], models: dict[str, Entry], where: str) -> Entry:
    given = settings.methods[name]
    entry = _entry("method", name, {key: value for key, value in given.items() if key != "model"}, where)
    facts = schema.facts("method", entry.plugin, entry.params)
    _refuse_without_labels(facts["supervision"], splits, f"{where}, methods.{name}")
    entry = replace(entry, supervision=facts["supervision"], weights=facts["weights"])
    if facts["reads"] == ["images"]:
        if "model" in given:
            raise HeldoutError(
                f"{where}, methods.{name}: {entry.plugin} is fitted to training images and reads no model; drop `model`"
            )
        return entry
    return _with_model(entry, given, models, where, kind="method")


def _combination(
    name: str, settings: Settings, methods: dict[str, Entry], splits: list[SplitSettings], where: str
) -> Entry:
    """Return an entry that combines the scores of others; it inherits the strongest supervision of its inputs.

    In `of`, `anogan` is that entry's score, `anogan:residual` one of its components.
    """
    where, given = f"{where}, methods.{name}", settings.methods[name]
    rule, named = given.get("by", schema.DEFAULT_RULE), given.get("of")
    rules = schema.plugins("combination")
    if not isinstance(rule, str) or rule not in rules:
        raise unknown(f"{where}.by", "combination", rule, rules, see="heldout combinations")
    own = {key: value for key, value in given.items() if key not in ("method", "by", "of")}
    params, facts = complete(own, "combination", rule, where), rules[rule]
    if not isinstance(named, list) or not named or not all(isinstance(each, str) for each in named):
        raise HeldoutError(f"{where}: a combination needs other methods' scores, as in of: [adgan, discriminator]")
    for key in facts["per_component"]:
        if params[key] is not None and len(params[key]) != len(named):
            raise HeldoutError(
                f"{where}.{key}: {len(params[key])} {key} for {len(named)} of `of`. See: heldout combinations {rule}"
            )
    if facts["is_fitted"] and not all(split.calibration for split in splits):
        raise HeldoutError(f"{where}: it is fitted to the scores of calibration images; set calibration: 0.1 or so")
    _refuse_without_labels(facts["supervision"], splits, where)
    joins = tuple((other, column or "score") for other, _, column in (each.partition(":") for each in named))
    for other, column in joins:
        if other not in methods:
            raise unknown(f"{where}.of", "entry of methods that joins no others", other, methods)
        columns = ["score", *schema.plugins("method")[methods[other].plugin]["components"]]
        if column not in columns:
            raise unknown(f"{where}.of", f"component of {other}", column, columns)
    told = {facts["supervision"], *(methods[other].supervision for other, _ in joins)} - {""}
    return Entry(name, schema.COMBINE, {"by": rule, **params}, joins=joins, supervision=", ".join(sorted(told)))


def facts_of(entry: Entry) -> dict[str, Any]:
    """Return the registered facts about an entry of `methods`."""
    return schema.plugins("combination")[entry.params["by"]] if entry.joins else schema.plugins("method")[entry.plugin]


def _refuse_without_labels(supervision: str, splits: list[SplitSettings], where: str) -> None:
    if supervision and not all(split.calibration and split.labelled_anomalies for split in splits):
        raise HeldoutError(
            f"{where}: it learns from labelled anomalies ({supervision}); set labelled_anomalies: 50 or so, and "
            "calibration: 0.1"
        )


def _shown_in(kind: str, models: dict[str, Entry], methods: dict[str, Entry], where: str) -> list[str]:
    """Return the entries of `methods` that a kind of figure can show.

    Raises:
        HeldoutError: the figure requires such a method, and the experiment has none.
    """
    figures = schema.plugins("figure")
    if kind not in figures:
        raise unknown(f"{where}, figures", "figure", kind, figures)
    shows, latent = figures[kind]["shows"], figures[kind]["latent"]
    found = [
        name
        for name, entry in methods.items()
        if (shows is None or shows in facts_of(entry)["offers"])
        and (latent is None or _latent(entry, models) == latent)
    ]
    if shows and not found:
        able = [name for name, facts in schema.plugins("method").items() if shows in facts["offers"]]
        wanted = " or ".join(able) + (f" on a model with latent: {latent}" if latent else "")
        raise HeldoutError(f"{where}, figures: {kind} needs {wanted}, and there is none; add one, or leave {kind} out")
    return found


def _latent(entry: Entry, models: dict[str, Entry]) -> int | None:
    """Return the dimension of z of the model that a method reads, or of that model's parent; None without a model."""
    while entry.model:
        entry = models[entry.model]
    return entry.params.get("latent")


def _classes(settings: Settings, dataset: DatasetEntry, where: str) -> list[str]:
    classes = dataset.classes
    if settings.protocol == "folders":
        if settings.held_out != "all":
            raise HeldoutError(f"{where}, held_out: the protocol folders has no held-out class; remove this key")
        return [WHOLE]
    if settings.held_out == "all":
        return classes
    slugs = dict(zip(dataset.params.get("classes", classes), classes, strict=True))
    are_words = all(is_word(name) for name in slugs)  # else a number could be another way to write a name
    names = dict(zip(classes, classes, strict=True)) | slugs
    numbers = {str(number): name for number, name in enumerate(classes)} if are_words else {}
    found = []
    for wanted in map(str, settings.held_out):
        if wanted not in names and wanted not in numbers:
            error = unknown(f"{where}, held_out", f"class of {dataset.name}", wanted, slugs)
            raise error if are_words else HeldoutError(f"{error} Write the exact name of the class, in quotes")
        found.append(names.get(wanted) or numbers[wanted])
    if len(set(found)) < len(found):
        raise HeldoutError(f"{where}, held_out: a class of {dataset.name} by its name and by its number; keep one")
    return found


def _refuse_other_classes(dataset: Entry, where: str) -> None:
    """Raise HeldoutError if `normal` or `train` names a class that is not in `classes`."""
    for option in ("normal", "train"):
        for name in dataset.params.get(option) or []:
            if name not in dataset.params["classes"]:
                raise unknown(f"{where}.{option}", "entry of `classes`", name, dataset.params["classes"])
