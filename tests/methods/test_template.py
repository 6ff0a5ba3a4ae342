"""The template of a method works as a method once it is copied."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from heldout import methods, registry
from heldout.errors import HeldoutError, NumericalFailure
from heldout.methods import Known
from heldout.numerics.pixels import to_unit_range
from heldout.numerics.scoring_steps import score_images
from tests.conftest import noise


@pytest.fixture
def module(monkeypatch):
    """The template as a module of that name; it is registered for one test."""
    spec = importlib.util.spec_from_file_location(
        "heldout.methods.my_method", Path(methods.__file__).with_name("_template.py")
    )
    monkeypatch.setitem(registry.REGISTERED, "method", {})
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    return module


def test_a_copy_of_the_template_scores_by_its_formula(module):
    entry = registry.REGISTERED["method"]["my_method"]
    method = module.MyMethod(module.Params(**entry.facts["small"], power=2))
    train, unseen = to_unit_range(noise(21, 3, 8)), to_unit_range(noise(6, 3, 8, seed=1))  # an odd number has a middle
    found = score_images(method, method.fit(Known(train, seed=0)), unseen, torch.arange(6))
    assert list(found) == ["score", *entry.facts["components"]]
    median = np.median(train.numpy(), axis=0)
    of_train, of_unseen = (np.abs(images.numpy() - median).reshape(len(images), -1) for images in (train, unseen))
    expected = (of_unseen**2).sum(1) / (of_train**2).sum(1).mean()
    np.testing.assert_allclose(found["score"], expected, rtol=1e-5)
    np.testing.assert_allclose(found["largest"], of_unseen.max(1), rtol=1e-6)


def test_a_copy_of_the_template_draws_its_sample_with_the_seed_and_without_repetition(module):
    train = to_unit_range(noise(21, 3, 8))
    method = module.MyMethod(module.Params(sample=3))
    medians = [method.fit(Known(train, seed=seed))[0] for seed in (0, 0, 1)]
    assert torch.equal(medians[0], medians[1]) and not torch.equal(medians[0], medians[2])
    whole = module.MyMethod(module.Params(sample=21)).fit(Known(train, seed=0))[0]
    assert torch.equal(whole, module.MyMethod(module.Params()).fit(Known(train, seed=0))[0])


def test_a_copy_of_the_template_refuses_a_parameter_that_the_data_do_not_allow(module):
    known = Known(to_unit_range(noise(21, 3, 8)), seed=0)
    with pytest.raises(HeldoutError, match="^my_method: sample: 22 is more than the 21 training images$"):
        module.MyMethod(module.Params(sample=22)).fit(known)


def test_a_copy_of_the_template_fails_on_data_without_a_score(module):
    known = Known(to_unit_range(noise(1, 3, 8)).repeat(5, 1, 1, 1), seed=0)
    with pytest.raises(NumericalFailure, match="identical"):
        module.MyMethod(module.Params()).fit(known)
