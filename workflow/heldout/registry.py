"""Registration of plug-ins: one file in its kind's folder each, whose name is the entry's name.

A file whose name begins with `_` is no entry. What a plug-in must have is written in its folder's `__init__.py`; the
decorators here take what must be known of it without importing it. Nothing heavy is imported.
"""

import importlib
import inspect
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from heldout import shapes_no_number
from heldout.errors import unknown

if typing.TYPE_CHECKING:
    from heldout.datasets import Download, Source

PACKAGE = Path(__file__).resolve().parent
KINDS = {
    "dataset": "heldout.datasets",
    "weight": "heldout.weights",
    "model": "heldout.models",
    "method": "heldout.methods",
    "combination": "heldout.combinations",
    "figure": "heldout.figures",
}


COST_CLASSES = ("fit", "forward", "search", "joint search")
# Families of methods, each with a hue in figures: floors, detectors without a trained network, searches through a
# generator, GANs with an encoder, autoencoders, a network's output for the image, combinations of scores.
FAMILIES = ("floor", "shallow", "search", "encoder", "autoencoder", "output", "combination")


class Params(BaseModel):
    """The parameters of one plug-in: names, ranges, defaults and meanings; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Entry:
    """One registered plug-in.

    Attributes:
        name: the file's name.
        plugin: the registered class or function.
        params: the class of its parameters, by the annotation of `params` in `__init__`; None: it has none.
        facts: what is known of it without importing it; JSON values only.
        source: where the files of a dataset or of weights come from; None for the other kinds.
    """

    name: str
    plugin: Any
    params: type[Params] | None
    facts: dict[str, Any] = field(default_factory=dict)
    source: Any = None


ENTRIES: dict[str, dict[str, Entry]] = {kind: {} for kind in KINDS}


@shapes_no_number
def dataset(
    name: str,
    *,
    source: "Source",
    classes: tuple[str, ...] = (),
    shape: tuple[int, int] | None = None,
    counts: tuple[int, int] | None = None,
) -> Callable:
    """Register labelled images; `datasets/__init__.py` says what the class must have.

    Args:
        name: the file's name; a mirror has a folder of this name.
        source: where the files come from: `Installed`, `Download` or `OwnFolder`.
        classes: `[a-z0-9_]+` each, in the order of their numbers; none: the option `classes` names them.
        shape: channels and side of an image; None: options decide. Like `counts`, for estimates of memory and time.
        counts: images in the official training and test part; None: it depends on the user's folder.
    """
    facts = {"shape": shape and list(shape), "counts": counts and list(counts)}
    return _register("dataset", name, source, classes=list(classes), files=source.files, **facts)


@shapes_no_number
def weights(name: str, *, source: "Download") -> Callable:
    """Register published weights of a network, which are fetched as a dataset's files are."""
    return _register("weight", name, source, files=source.files)


@shapes_no_number
def model(
    name: str,
    *,
    paper: str,
    provides: tuple[str, ...],
    reads: tuple[str, ...] = (),
    small: dict[str, Any],
    default_parent: str | None = None,
    conditional: bool = False,
    updates: str = "steps",
    networks: str = "2",
    width: str = "width",
    latent: str = "latent",
) -> Callable:
    """Register something trained.

    Args:
        name: the entry's name.
        paper: authors, venue and year in a few words, for README and the terminal; `ours` where there is none. The
            module's docstring has the whole source.
        provides: its parts that methods may read; the table in `models/__init__.py` says what each is.
        reads: the parts of another model, its parent, on which it is trained; the parent itself stays as it is.
        small: parameters for a training of seconds.
        default_parent: the parent where an experiment names none.
        conditional: whether it is told which normal class a training image belongs to.

    The rest is the model's work, as arithmetic over its own parameters; estimates of time and memory evaluate it.

    Args:
        updates: calls of `step` in a training.
        networks: networks that one call updates, counted as often as they are updated.
        width: channels of its largest network next to the image.
        latent: dimensions of the code that network starts from.
    """
    facts = {"paper": paper, "provides": list(provides), "reads": list(reads), "default_model": default_parent}
    facts |= {"updates": updates, "networks": networks, "width": width, "latent": latent}
    return _register("model", name, **facts, small=small, conditional=conditional)


@shapes_no_number
def method(
    name: str,
    *,
    paper: str,
    reads: tuple[str, ...],
    cost: str,
    cost_class: str,
    family: str,
    small: dict[str, Any],
    default_model: str | None = None,
    components: tuple[str, ...] = (),
    offers: tuple[str, ...] = (),
    when: dict[str, dict[str, Any]] | None = None,
    passes: str = "1",
    moves_weights: str = "False",
    compared: str = "0",
    shortened: str | None = None,
) -> Callable:
    """Register something that scores images.

    Args:
        name: the entry's name.
        paper: as of a model.
        reads: the parts of a model; or `images` alone when the method has no checkpoint and is fitted to the training
            images in the score step.
        cost: how the time per image grows, in words.
        cost_class: one of COST_CLASSES: fitted without a network, a few forwards of networks, a search over z, or a
            search over z and weights.
        family: one of FAMILIES, from which figures take its colour.
        small: parameters for a scoring of seconds.
        default_model: the model it reads where an experiment names none, as in its paper.
        components: what it gives beside its score, for each image; a combination can use them.
        offers: what it has for figures beside `score`: `rebuild`, `path`, or both (`methods/__init__.py`).
        when: what a parameter's value asks for in addition, by `parameter=value`: `reads` (more parts), `weights` (a
            fetched file of weights), `network` (one that a GPU makes faster) or `supervision` (a word for every table,
            where anomalies' labels are used).

    The rest is the method's work, as arithmetic over its own parameters, `images` (the training images) and
    `normal_classes`; estimates of time and memory evaluate it.

    Args:
        passes: forwards of the networks, with their backwards where there are any, for one image.
        moves_weights: whether each row of a block has its own copy of the weights.
        compared: training images with which each image is compared.
        shortened: the parameter that a trial lowers, so that a long search takes seconds.
    """
    assert cost_class in COST_CLASSES, cost_class
    assert family in FAMILIES, family
    facts = {"paper": paper, "cost": cost, "cost_class": cost_class, "family": family, "default_model": default_model}
    facts |= {"components": list(components), "offers": list(offers)}
    facts |= {"passes": passes, "moves_weights": moves_weights, "compared": compared}
    return _register("method", name, reads=list(reads), **facts, small=small, when=when or {}, shortened=shortened)


@shapes_no_number
def combination(
    name: str,
    *,
    paper: str,
    small: dict[str, Any],
    is_fitted: bool = True,
    supervision: str = "",
    per_component: tuple[str, ...] = (),
) -> Callable:
    """Register a rule that combines the scores of methods.

    Args:
        name: the entry's name; an experiment names it by `by`.
        paper: as of a model.
        small: parameters for the conformance tests.
        is_fitted: whether it is fitted to calibration images, which the experiment must then have.
        supervision: a word for every table, where labelled anomalies are used.
        per_component: parameters that list a value for each component.
    """
    facts = {"paper": paper, "is_fitted": is_fitted, "supervision": supervision, "per_component": list(per_component)}
    return _register("combination", name, **facts, family="combination", offers=[], small=small)


@shapes_no_number
def figure(
    name: str, *, one_per: str, reads: tuple[str, ...], shows: str | None = None, latent: int | None = None
) -> Callable:
    """Register a figure.

    Args:
        name: the entry's name, and the beginning of its files' names.
        one_per: what it is drawn for: each `held_out` class, each `held_out_and_mean`, or each `model`.
        reads: what it is made from: the evaluation's `tables`, the `checkpoints`, the `scores`, the test `labels`.
        shows: what a method must offer to be shown in it; none: it shows all methods, or none.
        latent: the dimensions of z that a method's model must have for that as well.
    """
    return _register("figure", name, one_per=one_per, reads=list(reads), shows=shows, latent=latent)


def _register(kind: str, name: str, source: Any = None, **facts: Any) -> Callable:
    def decorate(plugin: Any) -> Any:
        stem = plugin.__module__.rpartition(".")[2]
        assert stem == name, f"{kind} {name!r} stands in {stem}.py: the file's name is the entry's name"
        hints = typing.get_type_hints(plugin.__init__) if inspect.isclass(plugin) else {}
        ENTRIES[kind][name] = Entry(name, plugin, hints.get("params"), facts, source)
        return plugin

    return decorate


@shapes_no_number
def names(kind: str) -> list[str]:
    """Return the entries of a kind by the files in its folder; imports nothing."""
    folder = PACKAGE / KINDS[kind].rpartition(".")[2]
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))


@shapes_no_number
def load(kind: str, name: str) -> Entry:
    """Import the one file that registers `name`.

    Raises:
        HeldoutError: there is no such entry.
    """
    if name not in names(kind):
        raise unknown("registry", kind, name, names(kind))
    importlib.import_module(f"{KINDS[kind]}.{name}")
    return ENTRIES[kind][name]


def create(kind: str, name: str, params: dict[str, Any], *arguments: Any) -> Any:
    """Create a plug-in's class from the given parameters and the defaults of the others."""
    entry = load(kind, name)
    return entry.plugin(entry.params(**params), *arguments)


def small(kind: str, name: str) -> dict[str, Any]:
    """Return parameters for a trial of seconds, the plug-in's own choice."""
    return load(kind, name).facts["small"]
