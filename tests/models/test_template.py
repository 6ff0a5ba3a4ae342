"""The template of a model, copied: it trains, and its objective falls."""

import importlib.util
from pathlib import Path

import numpy as np
import torch

from heldout import models, registry
from heldout.networks.shape import ImageShape
from heldout.numerics import randomness
from tests.conftest import noise


def test_a_copy_of_the_template_learns_to_reconstruct(monkeypatch):
    monkeypatch.setitem(registry.REGISTERED, "model", dict(registry.REGISTERED["model"]))
    found = importlib.util.spec_from_file_location(
        "heldout.models.my_model", Path(models.__file__).with_name("_template.py")
    )
    found.loader.exec_module(importlib.util.module_from_spec(found))
    entry = registry.REGISTERED["model"]["my_model"]
    params = entry.params(**{**entry.facts["small"], "learning_rate": 0.01})
    model = entry.plugin(params, ImageShape(1, 16), randomness.generator(0, "weights"))
    images = noise(4, 1, 16)
    assert set(model.start(images)) == {"optimiser"}
    draw = randomness.batches(images, params.batch, randomness.generator(0, "order"))
    losses = [model.step(draw, torch.Generator())["reconstruction"].item() for _ in range(50)]
    assert np.mean(losses[-5:]) < 0.8 * losses[0]
    model.finish(images)  # by default, nothing
