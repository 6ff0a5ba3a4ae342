"""What every registered combination promises. A new file in combinations/ is tested here without an edit."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from heldout import combinations, registry
from heldout.numerics.scoring_steps import combined
from heldout.planning import schema

RNG = torch.Generator().manual_seed(0)
NORMAL = torch.randn(30, 3, generator=RNG, dtype=torch.float64) * torch.tensor([1, 20, 0.1]) + 5
FAR = NORMAL[:10] + torch.tensor([30, 500, 4])
ROWS = torch.cat([torch.randn(13, 3, generator=RNG, dtype=torch.float64) * torch.tensor([1, 20, 0.1]) + 5, FAR[5:]])


@pytest.fixture(params=registry.names("combination"))
def name(request):
    return request.param


def scored(name: str, rows: torch.Tensor) -> torch.Tensor:
    entry = registry.load("combination", name)
    rule = registry.create("combination", name, entry.facts["small"])
    return combined(rule, rule.fit(NORMAL, FAR[:5] if entry.facts["supervision"] else None, 0), rows)


def test_an_image_gets_one_finite_score_that_ignores_the_other_images(name):
    together = scored(name, ROWS)
    assert together.shape == (18,) and together.dtype == torch.float64 and together.isfinite().all()
    for chosen in ([7, 3, 16, 0, 11], [5], [4, 4]):
        assert torch.equal(scored(name, ROWS[chosen]), together[chosen])


def test_fitting_and_scoring_draw_from_no_global_generator(name):
    torch.manual_seed(1)
    np.random.seed(1)
    first = scored(name, ROWS)
    torch.manual_seed(2)
    np.random.seed(2)
    assert torch.equal(scored(name, ROWS), first)


def test_higher_means_more_anomalous(name):
    found = scored(name, ROWS)
    assert found[13:].mean() > found[:13].mean()


def test_a_combination_is_documented_for_the_command_line(name):
    facts = schema.plugins("combination")[name]
    assert facts["summary"].endswith(".") and facts["paper"]
    assert all("description" in rule for rule in schema.parameters("combination", name).values())


def test_a_copy_of_the_template_combines_by_its_formula(monkeypatch):
    path = Path(combinations.__file__).with_name("_template.py")
    spec = importlib.util.spec_from_file_location("heldout.combinations.my_combination", path)
    monkeypatch.setitem(registry.REGISTERED, "combination", {})
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    rule = module.MyCombination(module.Params(**registry.REGISTERED["combination"]["my_combination"].facts["small"]))
    found = combined(rule, rule.fit(NORMAL[:29], None, 0), ROWS)
    expected = np.abs(ROWS.numpy() - np.median(NORMAL[:29].numpy(), axis=0)).sum(1)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
