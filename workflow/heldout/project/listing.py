"""The tables of entries: what `heldout models` and `heldout methods` print, and the same in README."""

import re
from typing import Any

from heldout import registry
from heldout.planning import schema

README = registry.PACKAGE.parent.parent / "README.md"
LISTED = ("model", "method")  # the kinds whose tables stand in README
YEAR = re.compile(r"(.*?\b(?:19|20)\d\d)\b")
SEVERAL_AUTHORS = 3


def table(kind: str) -> list[list[str]]:
    """Return a row of words per entry under a row of headings."""
    plugins = schema.plugins(kind)
    if kind == "method":
        headings = ["method", "reads", "cost", "paper", "what it is"]
        rows = [
            [name, facts["default_model"] or " ".join(facts["reads"]), facts["cost_class"], *_words(facts)]
            for name, facts in plugins.items()
        ]
    elif kind == "model":
        headings = ["model", "trained on", "paper", "what it is"]
        rows = [[name, facts["default_model"] or "images", *_words(facts)] for name, facts in plugins.items()]
    else:
        headings = [kind, "what it is"]
        rows = [[name, facts["summary"]] for name, facts in plugins.items()]
    return [headings, *rows]


def text(kind: str) -> str:
    """Return the table in columns, for a terminal."""
    rows = table(kind)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def markdown(kind: str) -> str:
    headings, *rows = table(kind)
    code = [[f"`{row[0]}`", *row[1:]] for row in rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in [headings, ["---"] * len(headings), *code])


def renewed(readme: str) -> str:
    """Return README's text with both tables as of now, between the comments that mark their places."""
    for kind in LISTED:
        begin, end = f"<!-- {kind}s, by: heldout schema -->\n", f"\n<!-- end of {kind}s -->"
        before, _, rest = readme.partition(begin)
        _, _, after = rest.partition(end)
        readme = before + begin + markdown(kind) + end + after
    return readme


def short_paper(source: str) -> str:
    """Return `First et al., venue year` of a plug-in's `Source:` paragraph; `ours` where it says so."""
    if source.startswith("ours"):
        return "ours"
    cited = YEAR.match(source)
    assert cited, f"no year in the source: {source}"
    *authors, venue = cited[1].split(", ")
    named = [f"{authors[0]} et al."] if len(authors) >= SEVERAL_AUTHORS else authors
    return ", ".join([*named, venue])


def _words(facts: dict[str, Any]) -> list[str]:
    return [short_paper(facts["paper"]), facts["summary"]]
