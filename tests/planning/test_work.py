"""How much work a step is: as the plug-in states it, and as its training does it."""

from dataclasses import replace

import pytest
import torch

from heldout import registry
from heldout.networks.shape import ImageShape
from heldout.numerics import training_steps
from heldout.planning import work
from tests.conftest import fresh, noise, score_spec, train_spec

MODEL_STATEMENTS = ("updates", "networks", "width", "latent")
METHOD_STATEMENTS = ("passes", "moves_weights", "compared")


@pytest.mark.parametrize("refit", [0.0, 0.25])
@pytest.mark.parametrize("name", registry.names("model"))
def test_a_training_makes_as_many_updates_as_its_model_states(name, refit):
    def built():
        return fresh(name, ImageShape(1, 16), steps=3, refit=refit)

    _, spec = built()
    classes = torch.arange(20) % 3 if spec.normal_classes else None
    training = training_steps.Training(lambda: built()[0], noise(20, 1, 16), spec, classes)
    assert sum(1 for _ in training) == len(training) == work.of_training(spec).updates


@pytest.mark.parametrize("kind", ["model", "method"])
def test_statements_name_only_the_plugins_own_parameters(kind):
    statements, known = {
        "model": (MODEL_STATEMENTS, set()),
        "method": (METHOD_STATEMENTS, {"images", "normal_classes"}),
    }[kind]
    for name in registry.names(kind):
        entry = registry.load(kind, name)
        named = set().union(*(work.names_in(entry.facts[statement]) for statement in statements))
        assert named <= entry.params.model_fields.keys() | known, name
        assert entry.facts.get("shortened") in (None, *entry.params.model_fields), name


def test_the_batches_of_a_trimmed_training_are_larger():
    assert work.of_training(train_spec("dcgan", batch=30, trim=0.25)).batch == 40


def test_a_search_passes_each_start_through_the_network_in_each_step():
    params = registry.load("method", "adgan").params(starts=4, steps=3, theta_lr=0).model_dump()
    found = work.of_scoring(score_spec("adgan", **params))
    assert (found.passes, found.moves_weights) == (1 + 4 * 3, False)
    in_turn = replace(score_spec("adgan"), params=params | {"update": "in_turn", "theta_lr": 1e-4})
    assert work.of_scoring(in_turn).passes > found.passes and work.of_scoring(in_turn).moves_weights


@pytest.mark.parametrize(
    ("method", "params", "compared"),
    [
        ("kde", {}, 5000),
        ("kde", {"centres": 400}, 400),
        ("ocsvm", {"landmarks": 400}, 5000),
        ("ocsvm", {"landmarks": 400, "solver": "nystroem"}, 400),
        ("mean_image", {}, 0),
    ],
)
def test_a_detector_states_how_many_images_it_compares(method, params, compared):
    params = registry.load("method", method).params(**params).model_dump()
    assert work.of_scoring(score_spec(method, **params), images=5000).compared == compared
