"""The tables of models and methods: complete, and the same on a terminal and in docs/methods.md."""

import re

import pytest

from heldout import registry
from heldout.project import listing


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("| ").split("|")]


def test_the_page_of_methods_has_the_tables_of_todays_entries():
    page = listing.PAGE.read_text(encoding="utf-8")
    assert listing.renewed(page) == page, "renew docs/methods.md with: heldout schema"
    for kind in listing.LISTED:
        assert all(f"| `{name}` " in page for name in registry.names(kind))


@pytest.mark.parametrize("kind", listing.LISTED)
def test_every_entry_has_a_line_with_its_paper(kind):
    headings, _, *rows = map(cells, listing.markdown(kind).splitlines())
    assert [row[0] for row in rows] == [f"`{name}`" for name in registry.names(kind)]
    assert all(len(row) == len(headings) and all(row) for row in rows)
    for name, row in zip(registry.names(kind), rows, strict=True):
        paper = row[headings.index("paper")]
        assert paper == "ours" or paper[-4:].isdigit()
        # The file says the same at length: the first author, the venue and the year.
        told = " ".join(listing.documentation(kind, name).split())
        assert all(word in told for word in re.findall(r"[\w-]+", paper) if word not in ("et", "al")), (name, paper)


@pytest.mark.parametrize("kind", ["dataset", *listing.LISTED])
def test_the_terminal_lists_every_entry(kind):
    first = [line.split()[0] for line in listing.text(kind).splitlines()]
    assert first == [kind, *registry.names(kind)]
