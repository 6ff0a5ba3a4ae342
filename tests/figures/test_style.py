"""Methods can be told apart in every figure, also by the colour-blind and in grey."""

from itertools import combinations

import numpy as np
import pytest
import yaml
from colorspacious import cspace_convert
from matplotlib.colors import to_rgb

from heldout import registry
from heldout.figures import _style
from heldout.planning.resolve import facts_of, resolve
from tests.conftest import REPOSITORY

APART = 10  # Delta E in CAM02-UCS
VISIONS = {
    "normal": None,
    "deuteranopia": {"name": "sRGB1+CVD", "cvd_type": "deuteranomaly", "severity": 100},  # Machado et al. 2009
    "protanopia": {"name": "sRGB1+CVD", "cvd_type": "protanomaly", "severity": 100},
}
EXPERIMENTS = [REPOSITORY / "config.yaml", *sorted((REPOSITORY / "workflow" / "experiments").glob("*.yaml"))]


def differences(colors: list[str], vision: str) -> np.ndarray:
    """Return Delta E between any two colours as seen with a vision, `(N, N)`."""
    seen = np.array([to_rgb(color) for color in colors])
    if VISIONS[vision]:
        seen = np.clip(cspace_convert(seen, VISIONS[vision], "sRGB1"), 0, 1)
    places = cspace_convert(seen, "sRGB1", "CAM02-UCS")
    return np.linalg.norm(places[:, None] - places, axis=-1)


def families_of(path) -> dict[str, str]:
    """Return the families of an experiment's entries, by name."""
    experiment = resolve(yaml.safe_load(path.read_text(encoding="utf-8")), where=path.name)
    return {name: facts_of(entry)["family"] for name, entry in experiment.methods.items()}


def test_the_simulation_finds_red_and_green_alike_for_the_colour_blind():
    pair = ["#9c6a2d", "#6b7a1f"]  # a brown and an olive green
    assert differences(pair, "normal")[0, 1] > 2 * differences(pair, "deuteranopia")[0, 1]


@pytest.mark.parametrize("vision", VISIONS)
def test_any_two_colours_differ(vision):
    colors = [*(color for shades in _style.SHADES.values() for color in shades), _style.NORMAL, _style.ANOMALOUS]
    found = differences(colors, vision)
    assert found[np.triu_indices(len(colors), 1)].min() >= APART


def test_every_family_has_its_colours():
    assert tuple(_style.SHADES) == registry.FAMILIES


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_any_two_methods_of_an_experiment_differ_in_colour_or_in_marker_and_dashes(path):
    lines = _style.lines(families_of(path)).values()
    for vision in VISIONS:
        found = differences([line["color"] for line in lines], vision)
        for (i, one), (j, other) in combinations(enumerate(lines), 2):
            assert found[i, j] >= APART or (one["marker"] != other["marker"] and one["ls"] != other["ls"])


@pytest.mark.parametrize("others", [0, 3])
def test_up_to_thirty_variants_of_one_method_differ(others):
    families = {f"floor{place}": "floor" for place in range(others)} | {f"k{place}": "search" for place in range(30)}
    looks = [tuple(line.values()) for line in _style.lines(families).values()]
    assert len(set(looks)) == len(looks)


def test_two_lines_in_grey_have_another_marker_or_another_dash():
    looks = [
        tuple(line[part] for part in ("marker", "ls")) for line in _style.lines(families_of(EXPERIMENTS[0])).values()
    ]
    assert len(set(looks)) == len(looks)
