"""How every figure looks: a colour per method that the colour-blind tell apart, and dashes for a print in grey."""

from typing import Any

from matplotlib import rc_context

DASHES = ("-", "--", "-.", ":", (0, (8, 1.5, 1, 1.5, 1, 1.5)), (0, (8, 4)), (0, (1, 3)))
SETTINGS = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "savefig.bbox": "tight",
    "savefig.dpi": 150,
    "svg.hashsalt": "heldout",  # else two drawings of one figure differ in their bytes
    "svg.fonttype": "none",
}
METADATA = {"svg": {"Date": None}, "png": {"Software": None}}


def settings() -> Any:
    """Return the context in which figures are drawn."""
    return rc_context(SETTINGS)


def lines(methods: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return every entry's line: the colour is its method's own, in every figure; dashes follow the table's order."""
    return {
        name: {"color": facts["color"], "ls": DASHES[rank % len(DASHES)]}
        for rank, (name, facts) in enumerate(methods.items())
    }
