"""The style of all figures: a palette for colour-blind readers, and markers and dashes for grey prints."""

from collections import Counter
from typing import Any

from matplotlib import rc_context

# Three shades per family of methods. Any two colours here differ by at least 10 in CAM02-UCS, also in simulations of
# deuteranopia and protanopia (Machado et al. 2009); a test checks this.
SHADES = {
    "floor": ("#524e4f", "#949193", "#b6b2ab"),
    "shallow": ("#138e4d", "#07452b", "#496136"),
    "search": ("#ae1b07", "#ed9a70", "#e36169"),
    "encoder": ("#3631f6", "#212596", "#737dd7"),
    "autoencoder": ("#6f55a4", "#491d4f", "#c79cff"),
    "output": ("#0c99ad", "#016d6e", "#07bfc6"),
    "combination": ("#b86107", "#502300", "#c09a08"),
}
NORMAL, ANOMALOUS = "#b5daec", "#b6286e"  # for images, never for a method
LOOKS = (  # markers and dashes
    ("o", "-"),
    ("s", "--"),
    ("^", "-."),
    ("D", ":"),
    ("v", (0, (8, 1.5, 1, 1.5, 1, 1.5))),
    ("X", (0, (9, 3))),
    ("P", (0, (3, 1.5))),
    ("<", (0, (1, 3))),
    ("p", (0, (10, 1.5, 4, 1.5))),
    ("*", (0, (4, 1.5, 1, 1.5, 1, 1.5, 1, 1.5))),
)
SETTINGS = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "savefig.bbox": "tight",
    "savefig.dpi": 150,
    "svg.hashsalt": "heldout",  # without it, every drawing of a figure has other bytes
    "svg.fonttype": "none",
}
METADATA = {"svg": {"Date": None}, "png": {"Software": None}}


def settings() -> Any:
    """Return the context in which figures are drawn."""
    return rc_context(SETTINGS)


def lines(families: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Return the line of every entry, as keywords of `Axes.plot`; it is the same in every figure of an experiment.

    The family gives the hue, the position among all entries gives marker and dashes. Up to 30 entries of one family all
    look different.

    Args:
        families: the family of every entry of the experiment, in the order of its tables.
    """
    found: dict[str, dict[str, Any]] = {}
    members: Counter[str] = Counter()
    taken: set[tuple[str, int]] = set()
    for place, (name, family) in enumerate(families.items()):
        color = SHADES[family][members[family] % len(SHADES[family])]
        members[family] += 1
        candidates = [(place + shift) % len(LOOKS) for shift in range(len(LOOKS))]
        look = next((look for look in candidates if (color, look) not in taken), candidates[0])
        taken.add((color, look))
        marker, dashes = LOOKS[look]
        found[name] = {"color": color, "marker": marker, "ls": dashes}
    return found
