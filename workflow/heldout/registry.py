"""What a plug-in file registers: a dataset, weights, a model, a method or a figure; the file's name is the entry's.

Nothing heavy is imported here, so that a plug-in's parameters can be described without PyTorch. The plan does not
even import the plug-ins: it reads what `heldout schema` wrote down of them.
"""

import importlib
import inspect
import pkgutil
import re
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from heldout.errors import HeldoutError, unknown

PACKAGE = Path(__file__).resolve().parent
KINDS = {
    "dataset": "heldout.datasets",
    "weight": "heldout.weights",
    "model": "heldout.models",
    "method": "heldout.methods",
    "figure": "heldout.figures",
}


COST_CLASSES = ("fit", "forward", "search", "joint search", "join")


@dataclass(frozen=True)
class Known:
    """What a method that reads no model may know before it scores: never a test image, nor its label.

    Attributes:
        images: the normal training images, `(N, C, H, W)` float32 in [-1, 1].
        seed: the run's.
        holdout: calibration images (normal) and labelled anomalies, in the same form, where the experiment has both.
        weights: the folder of the fetched weights that the method's parameters ask for, else None.
    """

    images: Any
    seed: int
    holdout: tuple[Any, Any] | None = None
    weights: Path | None = None


class Params(BaseModel):
    """The parameters of one plug-in: names, ranges, defaults and meanings; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ModelParams(Params):
    steps: int = Field(10_000, ge=1, description="updates of the model; of a GAN's generator")
    batch: int = Field(64, ge=2, description="images in one update")
    trim: float = Field(
        0.0, ge=0, le=0.5, description="share of the images drawn for a batch that is left out, those of highest loss"
    )
    refit: float = Field(
        0.0, ge=0, le=0.5, description="share of the training images left out of a second training, as anomalous as any"
    )

    @property
    def updates(self) -> int:
        """Calls of `step` that a training makes; more than `steps` where a training of something else comes first."""
        return self.steps


class MethodParams(Params):
    block: int = Field(64, ge=1, description="images in one forward; part of the score's identity")


class DatasetOptions(Params):
    size: typing.Literal[32, 64] | None = Field(
        None, description="side in pixels; none: the next power of two, filled up with black; else resized from there"
    )


@dataclass(frozen=True)
class Entry:
    """One registered plug-in.

    Attributes:
        facts: what the plan must know without importing the plug-in, JSON values only.
    """

    name: str
    plugin: type | Callable[..., Any]
    params: type[Params] | None
    facts: dict[str, Any] = field(default_factory=dict)


ENTRIES: dict[str, dict[str, Entry]] = {kind: {} for kind in KINDS}


def dataset(
    name: str,
    *,
    classes: tuple[str, ...],
    files: dict[str, str],
    shape: tuple[int, int] | None = None,
    counts: tuple[int, int] | None = None,
) -> Callable:
    """Register a source of labelled images.

    Args:
        name: the entry's name, and the folder's in a mirror.
        classes: slugs `[a-z0-9_]+`, in the order of their numbers; none where the option `classes` names them.
        files: official file names and their published MD5 checksums; none where the option `folder` says where the
            images lie.
        shape: channels and side of an image; none where options say so. This and `counts` are for estimates alone.
        counts: images in the official training and test part; none where they depend on the folder.
    """
    facts = {"shape": shape and list(shape), "counts": counts and list(counts)}
    return _register("dataset", name, classes=list(classes), files=files, **facts)


def weights(name: str, *, files: dict[str, str]) -> Callable:
    """Register published weights of a network: file names and checksums, as `dataset` has them."""
    return _register("weight", name, files=files)


def model(
    name: str,
    *,
    provides: tuple[str, ...],
    reads: tuple[str, ...] = (),
    small: dict[str, Any],
    default_parent: str | None = None,
    conditional: bool = False,
) -> Callable:
    """Register something trained.

    Args:
        name: the entry's name.
        provides: its parts that methods may read; `networks/__init__.py` says what each of them is.
        reads: the parts of another model, its parent, on which it is trained; the parent itself stays as it is.
        small: parameters for a training of seconds.
        default_parent: the parent where an experiment names none.
        conditional: whether it is told which normal class a training image belongs to.
    """
    facts = {"provides": list(provides), "reads": list(reads), "default_model": default_parent}
    return _register("model", name, **facts, small=small, conditional=conditional)


def method(
    name: str,
    *,
    reads: tuple[str, ...],
    cost: str,
    cost_class: str,
    color: str,
    small: dict[str, Any],
    default_model: str | None = None,
    components: tuple[str, ...] = (),
    offers: tuple[str, ...] = (),
    when: dict[str, dict[str, Any]] | None = None,
) -> Callable:
    """Register something that scores images.

    Args:
        name: the entry's name.
        reads: the parts of a model; or `images` alone when the method has no checkpoint and is fitted to the training
            images in the score step; or `scores` alone when it joins the scores of other methods.
        cost: how the time per image grows, in words.
        cost_class: one of COST_CLASSES: fitted without a network, a few forwards of networks, a search over z, a search
            over z and weights, or a joining of scores that are there.
        color: the method's colour in every figure.
        small: parameters for a scoring of seconds.
        default_model: the model it reads where an experiment names none, as in its paper.
        components: what it gives beside its score, for each image; `combine` can join them.
        offers: what it has for figures, each of them called as `score` is: `rebuild`, what it makes of an image
            `(N, C, H, W)`, and `find`, its latent search (`search.Found`), on request with the path.
        when: what a parameter's value asks for in addition, by `parameter=value`: `reads` (more parts), `weights` (a
            fetched file of weights), `network` (one that a GPU makes faster) or `supervision` (a word for every table,
            where anomalies' labels are used).
    """
    assert cost_class in COST_CLASSES, cost_class
    facts = {"cost": cost, "cost_class": cost_class, "color": color, "default_model": default_model}
    facts |= {"components": list(components), "offers": list(offers)}
    return _register("method", name, reads=list(reads), **facts, small=small, when=when or {})


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


def _register(kind: str, name: str, **facts: Any) -> Callable:
    def decorate(plugin: Any) -> Any:
        stem = plugin.__module__.rpartition(".")[2]
        assert stem == name, f"{kind} {name!r} stands in {stem}.py: the file's name is the entry's name"
        hints = typing.get_type_hints(plugin.__init__) if inspect.isclass(plugin) else {}
        # A dataset's options act after it is read, unless its file declares some of its own.
        params = hints.get("params", DatasetOptions if kind == "dataset" else None)
        ENTRIES[kind][name] = Entry(name, plugin, params, facts)
        return plugin

    return decorate


def names(kind: str) -> list[str]:
    """Return the entries of a kind by the files that are there, importing none."""
    package = importlib.import_module(KINDS[kind])
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_"))


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
    """Build a plug-in from its parameters as the experiment states them, defaults filled in."""
    entry = load(kind, name)
    return entry.plugin(entry.params(**params), *arguments)


def classes_of(name: str, official: list[str], options: dict[str, Any]) -> list[str]:
    """Return the slugs of a dataset's classes, in the order of their numbers.

    Args:
        name: the dataset, for messages.
        official: the registered classes.
        options: where there are none, `classes` names them.

    Raises:
        HeldoutError: two names have one slug, or one has a word of the tables.
    """
    if official:
        return official
    slugs = [slug(word) for word in options["classes"]]
    if len(set(slugs)) < len(slugs) or not all(slugs):
        raise HeldoutError(f"{name}: the classes {', '.join(options['classes'])} are not all told apart in file names")
    if taken := {"all", "mean", "overall"} & set(slugs):
        raise HeldoutError(f"{name}: a class cannot be called {taken.pop()!r}, a word of the tables; rename its folder")
    return slugs


def slug(word: str) -> str:
    """Return a class's name as it stands in paths: `T-shirt/top` -> `t_shirt_top`."""
    return re.sub(r"[^a-z0-9]+", "_", word.lower()).strip("_")


def small(kind: str, name: str) -> dict[str, Any]:
    """Return parameters for a trial of seconds, the plug-in's own choice."""
    return load(kind, name).facts["small"]
