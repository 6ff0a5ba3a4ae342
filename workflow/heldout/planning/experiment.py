"""An experiment file: what may stand in it, checked before anything runs.

Parameters of datasets, models and methods are checked against what their own files declare, by way of the stored
schema; so this module imports none of them.
"""

import math
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import jsonschema
from pydantic import ConfigDict, Field, StringConstraints, ValidationError, field_validator

from heldout.errors import HeldoutError, unknown
from heldout.planning import schema
from heldout.planning.split_settings import Seed, SplitSettings, as_number
from heldout.planning.tasks import WHOLE, class_slugs, slug

MIRROR_VARIABLE = "HELDOUT_MIRROR"
SAVE_EVERY_S = 60
JOBS_PER_GPU = 4

SHARED_FOLDERS = ("checkpoints", "scores", "logs", "benchmarks")  # below results/, beside the experiments

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Device = Annotated[str, StringConstraints(pattern=r"^(auto|cpu|cuda(:\d+)?)$")]
Entries = dict[Name, dict[str, Any]]


class Experiment(SplitSettings):
    """Everything an experiment file may state; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="heldout experiment")

    experiment: Name = Field(description="names the folder below results/")
    datasets: Entries = Field(min_length=1, description="what to train and test on; `heldout datasets` lists them")
    protocol: Literal["one_class", "leave_one_out", "folders"] = Field(
        "one_class", description="how a class makes a task; `folders`: as the dataset's own `normal` says"
    )
    held_out: Literal["all"] | list[str | int] = Field("all", description="the classes singled out, names or numbers")
    seeds: list[Seed] = Field([0], min_length=1, description="one training per seed")
    models: Entries = Field({}, description="what is trained; `heldout models` lists them")
    methods: Entries = Field(min_length=1, description="what scores the test images; `heldout methods` lists them")
    device: Device = Field("auto", description="auto, cpu, cuda or cuda:N")
    jobs_per_gpu: int = Field(
        JOBS_PER_GPU, ge=1, description="trainings and scorings that share a GPU; further ones wait"
    )
    memory: int | None = Field(None, ge=1, description="MiB that a scoring may hold; none: no limit")
    precision: Literal["float32", "bfloat16"] = Field("float32", description="of the trainings")
    threads: int = Field(1, ge=1, description="CPU threads of a training or scoring; part of their identity")
    save_every: int = Field(
        SAVE_EVERY_S, ge=1, description="seconds between saves of unfinished trainings and scorings"
    )
    mirror: str | None = Field(None, description="folder or address with the datasets' files; see HELDOUT_MIRROR")
    bootstrap: int = Field(1000, ge=100, description="resamples of the test images behind each interval")
    figures: list[str] = Field(
        ["roc", "scores", "samples"], description="kinds of figures to draw: files in heldout/figures/"
    )

    @field_validator("datasets", "models", "methods", mode="before")
    @classmethod
    def _empty_entries(cls, entries: Any) -> Any:
        """`adgan:` without a value is `adgan: {}`."""
        if not isinstance(entries, dict):
            return entries
        return {name: {} if params is None else params for name, params in entries.items()}

    @field_validator("experiment")
    @classmethod
    def _not_a_shared_folder(cls, name: str) -> str:
        if name in SHARED_FOLDERS:
            raise ValueError(f"results/{name} is a folder that experiments share; choose another name")
        return name

    @field_validator("seeds", "threads", "jobs_per_gpu", "memory", "save_every", "bootstrap", mode="before")
    @classmethod
    def _integers(cls, values: Any) -> Any:
        """`--config bootstrap=5e3` comes as a string."""
        rule = {"type": "integer"}
        return [as_number(each, rule) for each in values] if isinstance(values, list) else as_number(values, rule)

    @field_validator("held_out", mode="before")
    @classmethod
    def _all_or_a_list(cls, classes: Any) -> Any:
        if classes != "all" and not isinstance(classes, list):
            raise ValueError(f"`all`, or a list such as [{classes}]")
        return classes

    @field_validator("held_out", "seeds")
    @classmethod
    def _not_empty_and_distinct(cls, values: Any) -> Any:
        if isinstance(values, list) and (not values or len(set(map(str, values))) < len(values)):
            raise ValueError("the list is empty, or names a value twice")
        return values


@dataclass(frozen=True)
class Entry:
    """A line of `datasets`, `models` or `methods`, its parameters complete.

    Attributes:
        name: what the experiment calls it.
        plugin: the registered name behind it.
        params: every parameter, defaults filled in.
        model: for a method that reads a checkpoint, or a model that is trained on another, the entry of `models`.
        joins: for a method that joins the scores of others, their entries of `methods`, each with a column.
        supervision: a word for every table, where the method is told the labels of anomalies; else empty.
        weights: the fetched weights that its parameters ask for; else None.
        split: for a dataset, which images play which part: the experiment's word, or the entry's own.
    """

    name: str
    plugin: str
    params: dict[str, Any]
    model: str | None = None
    joins: tuple[tuple[str, str], ...] = ()
    supervision: str = ""
    weights: str | None = None
    split: SplitSettings | None = None


@dataclass(frozen=True)
class Resolved:
    """A checked experiment: its settings, its entries, and the classes that each dataset singles out.

    Attributes:
        figures: the kinds to draw, each with the entries of `methods` that it can show.
    """

    settings: Experiment
    datasets: dict[str, Entry]
    models: dict[str, Entry]
    methods: dict[str, Entry]
    held_out: dict[str, list[str]]
    figures: dict[str, list[str]]


def read(config: dict[str, Any], where: str) -> Resolved:
    """Check an experiment and fill in what it leaves out.

    Args:
        config: the parsed file; numbers may be strings, as Snakemake reads `5e-5`.
        where: the file's name, for messages.

    Raises:
        HeldoutError: one line that names the place, the mistake and the likely meaning.
    """
    try:
        settings = Experiment.model_validate(config)
    except ValidationError as error:
        raise _explain(error, where) from error
    datasets = {name: _dataset(name, settings, where) for name in settings.datasets}
    alone = {name: _entry("model", name, given, where) for name, given in settings.models.items()}
    models = {name: _with_model(entry, settings.models[name], alone, where) for name, entry in alone.items()}
    splits = [dataset.split for dataset in datasets.values()]
    found = {name: _method(name, settings, splits, models, where) for name in settings.methods}
    others = {name: entry for name, entry in found.items() if not _joins(entry)}
    methods = {
        name: _join(entry, others, settings, splits, where) if _joins(entry) else entry for name, entry in found.items()
    }
    held_out = {name: _classes(settings, entry, where) for name, entry in datasets.items()}
    figures = {kind: _shown_in(kind, models, methods, where) for kind in settings.figures}
    return Resolved(settings, datasets, models, methods, held_out, figures)


def complete(given: dict[str, Any], kind: str, plugin: str, where: str) -> dict[str, Any]:
    """Return all parameters of a plug-in: the given ones, of the right type and in range, and defaults."""
    rules = schema.parameters(kind, plugin)
    for key, rule in rules.items():
        if "default" not in rule and key not in given:
            raise HeldoutError(f"{where}: {plugin} needs {key!r}, {rule['description']}. See: heldout {kind}s {plugin}")
    for key in given:
        if key not in rules:
            known = list(rules)
            raise unknown(where, f"parameter of {plugin}", key, known, see=f"heldout {kind}s {plugin}")
    values = {key: as_number(given.get(key, rule.get("default")), rule) for key, rule in rules.items()}
    for key, rule in rules.items():
        if isinstance(values[key], float) and not math.isfinite(values[key]):
            raise HeldoutError(f"{where}.{key}: {values[key]} is no number. See: heldout {kind}s {plugin}")
        error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(rule).iter_errors(values[key]))
        if error is not None:
            few = f"at least {error.validator_value} are needed, not {error.instance}"
            message = few if error.validator == "minItems" else error.message
            raise HeldoutError(f"{where}.{key}: {message}. See: heldout {kind}s {plugin}")
    return values


def classes_of(dataset: Entry) -> list[str]:
    """Return the slugs of a dataset's classes, in the order of their numbers."""
    official = schema.plugins("dataset")[dataset.plugin]["classes"]
    return class_slugs(f"datasets.{dataset.name}", official, dataset.params)


def normal_named(dataset: Entry) -> list[str]:
    """Return the slugs of the classes that the dataset itself calls normal."""
    return [slug(name) for name in dataset.params.get("normal") or []]


def _entry(kind: str, name: str, given: dict[str, Any], where: str) -> Entry:
    where = f"{where}, {kind}s.{name}"
    plugin = given.get(kind, name)
    known = schema.plugins(kind)
    if not isinstance(plugin, str) or plugin not in known:
        raise unknown(where, kind, plugin, known, see=f"heldout {kind}s")
    naming = {kind, *schema.structure(kind, plugin)}
    params = {key: value for key, value in given.items() if key not in naming}
    return Entry(name, plugin, complete(params, kind, plugin, where))


def _dataset(name: str, settings: Experiment, where: str) -> Entry:
    given = settings.datasets[name]
    own = {key: value for key, value in given.items() if key in SplitSettings.model_fields}
    entry = _entry("dataset", name, {key: value for key, value in given.items() if key not in own}, where)
    _refuse_other_classes(entry, f"{where}, datasets.{name}")
    try:
        split = SplitSettings(**settings.model_dump(include=set(SplitSettings.model_fields)) | own)
    except ValidationError as error:
        raise _explain(error, f"{where}, datasets.{name}") from error
    if settings.protocol == "folders":
        normal, where = entry.params.get("normal"), f"{where}, datasets.{name}"
        if "normal" not in entry.params:
            raise HeldoutError(
                f"{where}: {entry.plugin} does not say what is normal; choose one_class or leave_one_out"
            )
        if not normal or set(normal) == set(entry.params["classes"]):
            problem = "names every class" if normal else "is missing"
            raise HeldoutError(
                f"{where}.normal {problem}; under the protocol folders it names the classes that are trained on, and "
                "the others are anomalous"
            )
    return replace(entry, split=split)


def _with_model(
    entry: Entry, given: dict[str, Any], models: dict[str, Entry], where: str, kind: str = "model"
) -> Entry:
    """Return the entry with the model that it reads, if it reads one, after checking that this has what it reads."""
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


def _method(
    name: str, settings: Experiment, splits: list[SplitSettings], models: dict[str, Entry], where: str
) -> Entry:
    given = settings.methods[name]
    entry = _entry("method", name, given, where)
    facts = schema.facts("method", entry.plugin, entry.params)
    if facts["supervision"] and not all(split.calibration and split.labelled_anomalies for split in splits):
        raise HeldoutError(
            f"{where}, methods.{name}: it learns from labelled anomalies ({facts['supervision']}); set "
            "labelled_anomalies: 50 or so, and calibration: 0.1"
        )
    entry = replace(entry, supervision=facts["supervision"], weights=facts["weights"])
    if facts["reads"] == ["scores"]:
        return entry
    if facts["reads"] == ["images"]:
        if "model" in given:
            raise HeldoutError(
                f"{where}, methods.{name}: {entry.plugin} is fitted to training images and reads no model; drop `model`"
            )
        return entry
    return _with_model(entry, given, models, where, kind="method")


def _joins(entry: Entry) -> bool:
    return schema.plugins("method")[entry.plugin]["reads"] == ["scores"]


def _join(
    entry: Entry, methods: dict[str, Entry], settings: Experiment, splits: list[SplitSettings], where: str
) -> Entry:
    """Return an entry with the entries and columns that its `of` names, told labels as the most told of them.

    `anogan` is that entry's score, `anogan:residual` one of its components.
    """
    where = f"{where}, methods.{entry.name}"
    named = settings.methods[entry.name].get("of")
    if not isinstance(named, list) or not named or not all(isinstance(each, str) for each in named):
        raise HeldoutError(f"{where}: it joins scores of other methods; name them, as in of: [adgan, discriminator]")
    weights, is_fixed = entry.params["weights"], entry.params["by"] == "fixed"
    if weights is not None and (not is_fixed or len(weights) != len(named)):
        problem = f"{len(weights)} weights for {len(named)} of `of`" if is_fixed else "weights are for `by: fixed`"
        raise HeldoutError(f"{where}.weights: {problem}. See: heldout methods {entry.plugin}")
    if not is_fixed and not all(split.calibration for split in splits):
        raise HeldoutError(f"{where}: it is fitted to the scores of calibration images; set calibration: 0.1 or so")
    joins = tuple((other, column or "score") for other, _, column in (each.partition(":") for each in named))
    for other, column in joins:
        if other not in methods:
            raise unknown(f"{where}.of", "entry of methods that joins no others", other, methods)
        columns = ["score", *schema.plugins("method")[methods[other].plugin]["components"]]
        if column not in columns:
            raise unknown(f"{where}.of", f"component of {other}", column, columns)
    told = {entry.supervision, *(methods[other].supervision for other, _ in joins)} - {""}
    return replace(entry, joins=joins, supervision=", ".join(sorted(told)))


def _shown_in(kind: str, models: dict[str, Entry], methods: dict[str, Entry], where: str) -> list[str]:
    """Return the entries of methods that a kind of figure can show; it is refused where it needs one and has none."""
    figures = schema.plugins("figure")
    if kind not in figures:
        raise unknown(f"{where}, figures", "figure", kind, figures)
    shows, latent = figures[kind]["shows"], figures[kind]["latent"]
    able = [name for name, facts in schema.plugins("method").items() if shows is None or shows in facts["offers"]]
    found = [
        name
        for name, entry in methods.items()
        if entry.plugin in able and (latent is None or _latent(entry, models) == latent)
    ]
    if shows and not found:
        wanted = " or ".join(able) + (f" on a model with latent: {latent}" if latent else "")
        raise HeldoutError(f"{where}, figures: {kind} needs {wanted}, and there is none; add one, or leave {kind} out")
    return found


def _latent(entry: Entry, models: dict[str, Entry]) -> int | None:
    """The dimensions of z of the model that a method reads; of the parent, where that is trained on another."""
    while entry.model:
        entry = models[entry.model]
    return entry.params.get("latent")


def _classes(settings: Experiment, dataset: Entry, where: str) -> list[str]:
    classes = classes_of(dataset)
    if settings.protocol == "folders":
        if settings.held_out != "all":
            raise HeldoutError(f"{where}, held_out: the protocol folders singles no class out; leave it out")
        return [WHOLE]
    if settings.held_out == "all":
        return classes
    numbers = {str(number): name for number, name in enumerate(classes)}
    folders = dict(zip(dataset.params.get("classes", classes), classes, strict=True))
    found = []
    for wanted in (folders.get(str(name), str(name)) for name in settings.held_out):
        if wanted not in classes and wanted not in numbers:
            raise unknown(f"{where}, held_out", f"class of {dataset.name}", wanted, classes)
        found.append(wanted if wanted in classes else numbers[wanted])
    if len(set(found)) < len(found):
        raise HeldoutError(f"{where}, held_out: a class of {dataset.name} by its name and by its number; keep one")
    return found


def _refuse_other_classes(dataset: Entry, where: str) -> None:
    """Raise HeldoutError if an option that names some of a dataset's `classes` names another."""
    for option in ("normal", "train"):
        for name in dataset.params.get(option) or []:
            if name not in dataset.params["classes"]:
                raise unknown(f"{where}.{option}", "entry of `classes`", name, dataset.params["classes"])


def _explain(error: ValidationError, where: str) -> HeldoutError:
    errors = error.errors()
    misspelt = [each for each in errors if each["type"] == "extra_forbidden"]  # which often is why another is missing
    first = (misspelt or errors)[0]
    internal = ("literal[", "list[", "constrained")  # pydantic names the alternatives of a type that it tried
    place = ".".join(str(part) for part in first["loc"] if not str(part).startswith(internal))
    if first["type"] == "extra_forbidden":
        return unknown(where, "key", first["loc"][-1], Experiment.model_fields)
    if first["type"] == "missing":
        return HeldoutError(f"{where}: the key {place!r} is missing")
    wanted = {
        "dict_type": "entries such as {NAME: {}} are wanted",
        "list_type": f"a list such as [{first['input']}] is wanted",
        "string_pattern_mismatch": "letters, digits, '_', '-' and '.' make a name",
    }
    if place == "device":
        wanted["string_pattern_mismatch"] = "auto, cpu, cuda or cuda:N is wanted"
    message = wanted.get(first["type"], first["msg"].removeprefix("Value error, "))
    return HeldoutError(f"{where}, {place}: {message} (it is {first['input']!r})")
