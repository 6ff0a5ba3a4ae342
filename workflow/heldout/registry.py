"""Registration of plug-ins. A plug-in is one file in the folder of its kind; the file's name is the plug-in's name.

Files whose names begin with `_` are not plug-ins. The `__init__.py` of the folder documents the contract. The arguments
of the decorators are facts that planning needs without importing the plug-in. Imports neither PyTorch nor a plug-in.
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
KINDS = ("dataset", "weight", "model", "method", "combination", "figure")  # each in the folder of its plural
COST_CLASSES = ("fit", "forward", "search", "joint search")
# Families of methods, each with its own hue in figures: baselines, detectors without a trained network, searches in a
# generator's latent space, GANs with an encoder, autoencoders, outputs of a network, combinations of scores.
FAMILIES = ("floor", "shallow", "search", "encoder", "autoencoder", "output", "combination")


class Params(BaseModel):
    """The parameters of one plug-in: names, ranges, defaults and descriptions; unknown names are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Registration:
    """One registered plug-in.

    Attributes:
        name: the file's name.
        plugin: the registered class or function.
        params: the class of its parameters, from the annotation of `params` in `__init__`; None: it has none.
        facts: the arguments of its registration, as JSON values.
        source: the origin of the files of a dataset or of weights; None for the other kinds.
    """

    name: str
    plugin: Any
    params: type[Params] | None
    facts: dict[str, Any] = field(default_factory=dict)
    source: Any = None


REGISTERED: dict[str, dict[str, Registration]] = {kind: {} for kind in KINDS}


@shapes_no_number
def dataset(
    name: str,
    *,
    source: "Source",
    classes: tuple[str, ...] = (),
    shape: tuple[int, int] | None = None,
    counts: tuple[int, int] | None = None,
) -> Callable:
    """Register a dataset; `datasets/__init__.py` documents the contract.

    Args:
        name: the file's name; a mirror has a folder of this name.
        source: the origin of the files: `Installed`, `Download` or `OwnFolder`.
        classes: `[a-z0-9_]+` each, in the order of their numbers; empty: the option `classes` names them.
        shape: channels and side of an image, for estimates of memory and time; None: options decide.
        counts: numbers of images in the official training and test part; None: they depend on the user's folder.
    """
    facts = {"shape": shape and list(shape), "counts": counts and list(counts)}
    return _register("dataset", name, source, classes=list(classes), files=source.files, **facts)


@shapes_no_number
def weights(name: str, *, source: "Download") -> Callable:
    """Register published weights of a network; they are fetched like a dataset's files."""
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
    """Register a model; `models/__init__.py` documents the contract.

    The last four arguments state the model's work as arithmetic expressions of its parameters, for estimates of time
    and memory.

    Args:
        name: the file's name.
        paper: authors, venue and year, for tables of models; `ours` without a paper. The module's docstring has the
            full reference.
        provides: the parts that methods may read; `models/__init__.py` describes each.
        reads: the parts of another model, the parent, that its training reads; the parent does not change.
        small: parameters for a training of seconds.
        default_parent: the parent if an experiment names none.
        conditional: whether it is given the normal class of each training image.
        updates: number of calls of `step` in a training.
        networks: number of updates of networks in one call.
        width: channels of the layer next to the image in its largest network.
        latent: dimension of that network's code.
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
    """Register a method; `methods/__init__.py` documents the contract.

    `passes`, `moves_weights` and `compared` state the method's work as arithmetic expressions of its parameters,
    `images` (the number of training images) and `normal_classes`, for estimates of time and memory.

    Args:
        name: the file's name.
        paper: as for a model.
        reads: the parts of a model; or only `images`, if the method has no checkpoint and its scoring fits it to the
            training images.
        cost: how the time per image grows, in words.
        cost_class: one of COST_CLASSES: fitted without a network, a few forward passes, a search over z, or a search
            over z and weights.
        family: one of FAMILIES, which gives its colour in figures.
        small: parameters for a scoring of seconds.
        default_model: the model that it reads if an experiment names none, as in its paper.
        components: names of further results for each image, for use in combinations.
        offers: its optional functions for figures: `rebuild`, `path`, or both.
        when: additional facts by `parameter=value`: `reads` (more parts), `weights` (a fetched file of weights),
            `network` (one that a GPU makes faster) or `supervision` (the word by which tables say that it uses
            labelled anomalies).
        passes: forward passes of the networks for one image, including their backward passes.
        moves_weights: whether each row of a block has its own copy of the weights.
        compared: number of training images with which each image is compared.
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
        name: the file's name; an experiment selects the rule with `by`.
        paper: as for a model.
        small: parameters for the conformance tests.
        is_fitted: whether it is fitted to calibration images; the experiment must then have some.
        supervision: the word by which tables say that it uses labelled anomalies; empty if it uses none.
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
        name: the file's name, and the first part of the figures' file names.
        one_per: its subjects: each `held_out` class, each `held_out_and_mean`, or each `model`.
        reads: its inputs: the evaluation's `tables`, the `checkpoints`, the `scores`, the test `labels`.
        shows: the function that a method must have in `offers` to appear in it; None: it shows all methods, or none.
        latent: the required dimension of z of those methods' models; None: any.
    """
    return _register("figure", name, one_per=one_per, reads=list(reads), shows=shows, latent=latent)


def _register(kind: str, name: str, source: Any = None, **facts: Any) -> Callable:
    def decorate(plugin: Any) -> Any:
        stem = plugin.__module__.rpartition(".")[2]
        assert stem == name, f"{kind} {name!r} is registered in {stem}.py; its name must be the file's name"
        hints = typing.get_type_hints(plugin.__init__) if inspect.isclass(plugin) else {}
        REGISTERED[kind][name] = Registration(name, plugin, hints.get("params"), facts, source)
        return plugin

    return decorate


@shapes_no_number
def names(kind: str) -> list[str]:
    """Return the names of a kind's plug-ins from the files in its folder; imports nothing."""
    return sorted(path.stem for path in (PACKAGE / f"{kind}s").glob("*.py") if not path.stem.startswith("_"))


@shapes_no_number
def load(kind: str, name: str) -> Registration:
    """Import the file that registers `name`.

    Raises:
        HeldoutError: there is no such plug-in.
    """
    if name not in names(kind):
        raise unknown("registry", kind, name, names(kind))
    importlib.import_module(f"heldout.{kind}s.{name}")
    return REGISTERED[kind][name]


def create(kind: str, name: str, params: dict[str, Any], *arguments: Any) -> Any:
    """Create an instance of a plug-in from the given parameters and defaults."""
    entry = load(kind, name)
    return entry.plugin(entry.params(**params), *arguments)


def small(kind: str, name: str) -> dict[str, Any]:
    """Return the plug-in's parameters for a run of seconds."""
    return load(kind, name).facts["small"]
