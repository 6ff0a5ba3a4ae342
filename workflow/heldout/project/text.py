"""Formats tables, times and sizes for the command line."""

from textwrap import indent

from tabulate import tabulate
from tqdm import tqdm


def aligned(table: list[list[str]]) -> str:
    """Return rows of cells as indented columns."""
    return indent(tabulate(table, tablefmt="plain", disable_numparse=True), "  ")


def duration(seconds: float | None) -> str:
    """Return `~02:05` for two minutes and five seconds; `?` for None."""
    return "?" if seconds is None else f"~{tqdm.format_interval(round(seconds))}"


def readable(size: int) -> str:
    """Return a number of bytes with a unit: `4.20kB`."""
    return tqdm.format_sizeof(size, "B")
