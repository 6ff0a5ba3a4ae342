"""The amount of work of a training or scoring, as each plug-in states it in its registration.

A statement is an arithmetic expression of the plug-in's parameters, such as `1 + starts * steps`.
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
        updates: number of calls of the model's `step`, including those of a refit's second training.
        networks: number of networks that one call updates.
        batch: number of images drawn for one update; with `trim` more than the update uses.
    """

    updates: int
    networks: int
    batch: float


@dataclass(frozen=True)
class ScoreWork:
    """The work of a scoring.

    Attributes:
        passes: forward passes of the networks for one image, including their backward passes.
        moves_weights: whether each row of a block has its own copy of the weights.
        compared: number of training images with which each image is compared.
    """

    passes: int
    moves_weights: bool
    compared: int


def of_training(spec: TrainSpec) -> TrainWork:
    facts, params = schema.plugins("model")[spec.model], spec.params
    trainings = 2 if params["refit"] else 1
    updates = trainings * evaluated(facts["updates"], params)
    return TrainWork(updates, evaluated(facts["networks"], params), params["batch"] / (1 - params["trim"]))


def of_scoring(spec: ScoreSpec, normal_classes: int = 1, images: int = 0) -> ScoreWork:
    """Return the work of a scoring.

    Args:
        spec: of the scoring.
        normal_classes: number of normal classes.
        images: number of training images.
    """
    facts = schema.plugins("method")[spec.method]
    known = {**spec.params, "normal_classes": normal_classes, "images": images}
    names = ("passes", "moves_weights", "compared")
    return ScoreWork(*(evaluated(facts[name], known) for name in names))


def network(trained: TrainSpec | Parent) -> tuple[int, int]:
    """Return the channels of the layer next to the image in a model's largest network, and its latent dimension."""
    facts = schema.plugins("model")[trained.model]
    return evaluated(facts["width"], trained.params), evaluated(facts["latent"], trained.params)


def evaluated(statement: str, values: dict[str, Any]) -> Any:
    """Return the value of a statement; statements come from the package's registrations, never from a user."""
    return eval(_compiled(statement), {"__builtins__": {}, **FUNCTIONS}, values)


def names_in(statement: str) -> set[str]:
    """Return the parameters that a statement names."""
    return {*_compiled(statement).co_names} - FUNCTIONS.keys()


@cache
def _compiled(statement: str) -> CodeType:
    return compile(statement, statement, "eval")


def uses_network(spec: ScoreSpec) -> bool:
    """Whether the scoring of this spec runs a network."""
    if spec.joins:
        return False
    return spec.checkpoint is not None or schema.facts("method", spec.method, spec.params)["network"]
