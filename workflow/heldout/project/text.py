"""How the verbs print tables and times."""

from tqdm import tqdm


def aligned(table: list[list[str]]) -> str:
    """Return rows of cells as columns, two spaces apart."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
    )


def duration(seconds: float | None) -> str:
    """`~02:05` for two minutes and five seconds; `?` where it is unknown."""
    return "?" if seconds is None else f"~{tqdm.format_interval(round(seconds))}"
