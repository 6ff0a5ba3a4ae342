"""How much work a training or a scoring is, as each plug-in states it where it registers.

A statement is arithmetic over the plug-in's own parameters, such as `1 + starts * steps`.
"""

from dataclasses import dataclass
from functools import cache
from types import CodeType
from typing import Any

from heldout.planning import schema
from heldout.storage.specs import Parent, ScoreSpec, TrainSpec

FUNCTIONS = {"min": min, "max": max}


@dataclass(frozen=True)
class TrainWork:
    """The work of a training.

    Attributes:
        updates: calls of the model's `step`, those of a refit's second training included.
        networks: networks that one call updates.
        batch: images drawn for one update; with `trim` more than it uses.
    """

    updates: int
    networks: int
    batch: float


@dataclass(frozen=True)
class ScoreWork:
    """The work of a scoring.

    Attributes:
        passes: forwards of the networks, with their backwards, for one image.
        moves_weights: whether each row of a block has its own copy of the weights.
        compared: training images with which each image is compared.
    """

    passes: int
    moves_weights: bool
    compared: int


def of_training(spec: TrainSpec) -> TrainWork:
    """Return the work of a training."""
    facts, params = schema.plugins("model")[spec.model], spec.params
    trainings = 2 if params["refit"] else 1
    updates = trainings * evaluated(facts["updates"], params)
    return TrainWork(updates, evaluated(facts["networks"], params), params["batch"] / (1 - params["trim"]))


def of_scoring(spec: ScoreSpec, normal_classes: int = 1, images: int = 0) -> ScoreWork:
    """Return the work of a scoring.

    Args:
        spec: the scoring's.
        normal_classes: how many classes are trained on.
        images: how many images are trained on.
    """
    facts = schema.plugins("method")[spec.method]
    known = {**spec.params, "normal_classes": normal_classes, "images": images}
    names = ("passes", "moves_weights", "compared")
    return ScoreWork(*(evaluated(facts[name], known) for name in names))


def network(trained: TrainSpec | Parent) -> tuple[int, int]:
    """Return the channels of a model's largest network next to the image, and the dimensions of its code."""
    facts = schema.plugins("model")[trained.model]
    return evaluated(facts["width"], trained.params), evaluated(facts["latent"], trained.params)


def evaluated(statement: str, values: dict[str, Any]) -> Any:
    """Return the value of a statement. It comes from the package's own registrations, never from a user."""
    return eval(_compiled(statement), {"__builtins__": {}, **FUNCTIONS}, values)


def names_in(statement: str) -> set[str]:
    """Return the parameters that a statement names."""
    return {*_compiled(statement).co_names} - FUNCTIONS.keys()


@cache
def _compiled(statement: str) -> CodeType:
    return compile(statement, statement, "eval")
