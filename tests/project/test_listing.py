"""The tables of models and methods: complete, and the same on a terminal and in README."""

import pytest

from heldout import registry
from heldout.project import listing


def test_readme_has_the_tables_of_todays_entries():
    readme = listing.README.read_text(encoding="utf-8")
    assert listing.renewed(readme) == readme, "renew README with: heldout schema"
    for kind in listing.LISTED:
        assert all(f"| `{name}` |" in readme for name in registry.names(kind))


@pytest.mark.parametrize("kind", listing.LISTED)
def test_every_entry_has_a_line_with_its_paper(kind):
    headings, *rows = listing.table(kind)
    assert [row[0] for row in rows] == registry.names(kind)
    assert all(len(row) == len(headings) and all(row) for row in rows)
    paper = headings.index("paper")
    assert all(row[paper] == "ours" or row[paper][-4:].isdigit() for row in rows)


@pytest.mark.parametrize(
    ("source", "short"),
    [
        ("Arjovsky, Chintala, Bottou, ICML 2017, Algorithm 1, whose defaults are ours", "Arjovsky et al., ICML 2017"),
        ("Goodfellow et al., NeurIPS 2014, Algorithm 1", "Goodfellow et al., NeurIPS 2014"),
        ("SIGKDD Explorations 2024 (the review), obstacle 2", "SIGKDD Explorations 2024"),
        ("Kingma, Welling, ICLR 2014", "Kingma, Welling, ICLR 2014"),
        ("ours; every table shows it first", "ours"),
    ],
)
def test_a_source_is_cut_to_its_citation(source, short):
    assert listing.short_paper(source) == short
