"""What tests share: images of noise, models trained for two steps, and the mirror of real data where there is one."""

import os
from pathlib import Path

import pytest
import torch
from torch import nn

from heldout import registry, steps

REPOSITORY = Path(__file__).resolve().parent.parent


def noise(count: int, channels: int, side: int, seed: int = 0) -> torch.Tensor:
    """Return uint8 images `(count, channels, side, side)`."""
    rng = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, channels, side, side), generator=rng, dtype=torch.uint8)


def fresh(name: str, image: registry.ImageShape, seed: int = 0, **params: object) -> tuple[nn.Module, dict]:
    """Return a model before its training, and its spec; a parent, if it has one, is trained."""
    facts = registry.load("model", name).facts
    spec = {"model": name, "params": registry.small("model", name) | params, "seed": seed, "precision": "float32"}
    if facts["conditional"]:
        spec["normal_classes"] = 3
    parent = facts["default_model"]
    if parent:
        spec["parent"] = {"model": parent, "params": registry.small("model", parent)}
    model = steps.build(spec, image)
    if parent:
        model.parent.load_state_dict(trained(parent, image).state_dict())
    return model, spec


def trained(name: str, image: registry.ImageShape, seed: int = 0, **params: object) -> nn.Module:
    """Return a model after a training of seconds on noise, in training mode; its parent, if any, is trained first."""
    model, spec = fresh(name, image, seed, **params)
    images = noise(20, image.channels, image.side)
    classes = torch.arange(20) % 3 if "normal_classes" in spec else None
    for _ in steps.train(model, images, spec, classes):
        pass
    return model


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The folder named by HELDOUT_MIRROR: real datasets, laid out as the workflow expects them."""
    folder = os.environ.get("HELDOUT_MIRROR", "")
    if not Path(folder or "/nowhere").is_dir():
        pytest.skip("HELDOUT_MIRROR names no folder with the official files")
    return Path(folder)
