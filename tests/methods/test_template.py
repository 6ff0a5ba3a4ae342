"""The template of a method works as a method once it is copied."""

import importlib.util
from pathlib import Path

import numpy as np
import torch

from heldout import methods, registry
from heldout.methods import Known
from heldout.numerics.pixels import to_unit_range
from heldout.numerics.scoring_steps import score_images
from tests.conftest import noise


def test_a_copy_of_the_template_scores_by_its_formula(monkeypatch):
    spec = importlib.util.spec_from_file_location(
        "heldout.methods.my_method", Path(methods.__file__).with_name("_template.py")
    )
    monkeypatch.setitem(registry.REGISTERED, "method", {})
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    entry = registry.REGISTERED["method"]["my_method"]
    method = module.MyMethod(module.Params(**entry.facts["small"], power=2))
    train, unseen = to_unit_range(noise(21, 3, 8)), to_unit_range(noise(6, 3, 8, seed=1))  # an odd number has a middle
    found = score_images(method, method.fit(Known(train, seed=0)), unseen, torch.arange(6))
    differences = np.abs(unseen.numpy() - np.median(train.numpy(), axis=0)).reshape(6, -1)
    assert list(found) == ["score", *entry.facts["components"]]
    np.testing.assert_allclose(found["score"], (differences**2).sum(1), rtol=1e-5)
    np.testing.assert_allclose(found["largest"], differences.max(1), rtol=1e-6)
