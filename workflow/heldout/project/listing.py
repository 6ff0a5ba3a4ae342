"""The tables of datasets, models, methods and combinations, for the command line and for docs/methods.md."""

import ast

from tabulate import tabulate

from heldout import registry
from heldout.planning import schema

PAGE = registry.PACKAGE.parent.parent / "docs" / "methods.md"
LISTED = ("model", "method", "combination")  # the kinds whose tables are in it


def text(kind: str) -> str:
    """Return the table of all entries of a kind, for a terminal."""
    return tabulate(_table(kind), headers="keys", tablefmt="plain", disable_numparse=True)


def markdown(kind: str) -> str:
    rows = [row | {kind: f"`{row[kind]}`"} for row in _table(kind)]
    return tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True)


def renewed(page: str) -> str:
    """Return the page's text with current tables, between the comments that mark their places."""
    for kind in LISTED:
        begin, end = f"<!-- {kind}s, by: heldout schema -->\n", f"\n<!-- end of {kind}s -->"
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = before + begin + markdown(kind) + end + after
    return page


def documentation(kind: str, name: str) -> str | None:
    """Return the docstring of a plug-in's file (summary, formula, source, deviations) without importing it."""
    path = registry.PACKAGE / f"{kind}s" / f"{name}.py"
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def _table(kind: str) -> list[dict[str, str]]:
    """Return a row per entry: its cells by their headings."""
    rows = []
    for name, facts in schema.plugins(kind).items():
        cells = {}
        if kind == "combination":
            cells = {"uses labels": facts["supervision"] or "no", "paper": facts["paper"]}
        if kind == "model":
            cells = {"trained on": facts["default_model"] or "images", "paper": facts["paper"]}
        if kind == "method":
            reads = facts["default_model"] or " ".join(facts["reads"])
            cells = {"reads": reads, "cost": facts["cost_class"], "paper": facts["paper"]}
        rows.append({kind: name, **cells, "description": facts["summary"]})
    return rows
