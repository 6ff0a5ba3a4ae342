"""Digests: the same on every machine, moved by what moves a number and by nothing else."""

import subprocess
import sys
from pathlib import Path

import pytest

from heldout.planning import identity
from heldout.storage import hashing

SOURCE = '''
"""A module."""
import math

class Step(Base):
    """What it does."""
    rate: float = Field(0.5, gt=0, description="how fast")

    def run(self, *items, scale=1e-3, **more):
        """Run."""
        total = sum(x ** 2 for x in items if x)  # why
        return {f"{total:.2f}": [None, -0.0, math.pi, *more], "b": (lambda y: y[1:])(items)}
'''


def outline_digest(tmp_path: Path, text: str) -> str:
    path = tmp_path / f"{abs(hash(text))}.py"
    path.write_text(text, encoding="utf-8")
    return identity.file_digest(path)


def test_one_hash_is_pinned(tmp_path):
    # A new number here would rename every file that anyone has: change it only when the walk itself must change.
    assert outline_digest(tmp_path, SOURCE) == "09920eb07676"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# why", "# because"),
        ('"""Run."""', '"""Go."""'),
        ('"how fast"', '"how quickly"'),
        ("\n    def", "\n\n\n    def"),
    ],
)
def test_comments_docstrings_descriptions_and_layout_do_not_count(tmp_path, old, new):
    assert outline_digest(tmp_path, SOURCE.replace(old, new)) == outline_digest(tmp_path, SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [("** 2", "** 3"), ("0.5", "0.6"), ("if x", "if not x"), ("None", "0"), ("sum(", "max("), ("*more]", "more]")],
)
def test_code_counts(tmp_path, old, new):
    assert outline_digest(tmp_path, SOURCE.replace(old, new)) != outline_digest(tmp_path, SOURCE)


def test_what_a_plugin_says_of_itself_moves_no_number(tmp_path):
    text = """
@registry.method("toy", reads="images", family="shallow", small={"trees": 5})
class Toy:
    size = 3
"""

    def digests(text: str) -> tuple[str, str]:
        path = tmp_path / f"{abs(hash(text))}.py"
        path.write_text(text, encoding="utf-8")
        return identity._numbers_digest(path), identity.file_digest(path)

    numbers, whole = digests(text)
    for old, new in (('"shallow"', '"search"'), ('{"trees": 5}', '{"trees": 6}')):
        changed = digests(text.replace(old, new))
        assert changed[0] == numbers and changed[1] != whole  # the stored schema must still notice
    assert digests(text.replace("size = 3", "size = 4"))[0] != numbers


def test_source_is_followed_along_imports_of_ours(tmp_path, monkeypatch):
    files = {
        "models/toy.py": "from heldout.networks import blocks\nfrom heldout import registry\n",
        "networks/__init__.py": "",
        "networks/blocks.py": "SIZE = 4\n",
        "models/__init__.py": "",
        "registry.py": "VERSION = 1\n",
        "randomness.py": "import heldout.images\n",
        "images.py": "RANGE = 2\n",
        "training.py": "LOUD = True\n",
        "__init__.py": "",
    }
    package = tmp_path / "heldout"
    monkeypatch.setattr(identity, "PACKAGE", package)

    def source_digest(**changed: str) -> str:
        for name, text in (files | {name.replace("__", "/") + ".py": text for name, text in changed.items()}).items():
            (package / name).parent.mkdir(parents=True, exist_ok=True)
            (package / name).write_text(text, encoding="utf-8")
        for function in (identity.source_digest, identity._numbers_digest, identity._tree):
            function.cache_clear()
        return identity.source_digest("heldout.models.toy", ("heldout.randomness",))

    before = source_digest()
    assert source_digest(networks__blocks="SIZE = 5\n") != before
    assert source_digest(images="RANGE = 3\n") != before  # through randomness, which always counts
    assert source_digest(registry="VERSION = 2\n") == before
    assert source_digest(training="LOUD = False\n") == before
    assert source_digest() == before


def test_the_cpp_file_beside_a_module_counts(tmp_path, monkeypatch):
    (tmp_path / "kernel.py").write_text("", encoding="utf-8")
    monkeypatch.setattr(identity, "PACKAGE", tmp_path)

    def source_digest(text: str) -> str:
        (tmp_path / "kernel.cpp").write_text(text, encoding="utf-8")
        for function in (identity.source_digest, identity._cpp_digest):
            function.cache_clear()
        return identity.source_digest("heldout.kernel")

    before = source_digest("float rate = 0.5f;  // how fast\n")
    assert source_digest("// The rate.\n  float rate\n    = 0.5f;\n") == before
    assert source_digest("float rate = 0.6f;  // how fast\n") != before


def test_canonical_json_has_one_form():
    assert hashing.canonical({"b": 1.0, "a": [1, None, "é"]}) == '{"a":[1,null,"é"],"b":1.0}'
    assert hashing.digest({"a": 1, "b": 2}) == hashing.digest({"b": 2, "a": 1})
    assert hashing.digest({"a": 1}) != hashing.digest({"a": 1.5})
    with pytest.raises(ValueError):
        hashing.canonical(float("nan"))


@pytest.mark.parametrize("module", ["torch", "torchvision", "sklearn", "matplotlib", "pandas", "numpy"])
def test_planning_imports_nothing_heavy(module):
    code = f"import sys, heldout.planning.plan, heldout.planning.experiment; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
