"""Definitions written down: what they compute counts, how they are spelt does not, and every Python agrees."""

import ast
import os
import shutil
import subprocess
import symtable
from pathlib import Path

import pytest

from heldout.planning.definitions import Package
from heldout.planning.written import digest_of, reached, written
from tests.conftest import REPOSITORY

SAMPLE = {
    "__init__": "def shapes_no_number(definition):\n    return definition\n",
    "main": '''
"""Every kind of statement that binds a name."""
import math
import os.path as paths
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from sample import other, shapes_no_number
from sample.other import RATE, Base as Parent, helper

if TYPE_CHECKING:
    from sample.other import Unused

FEWEST, MOST = 2, 20
if MOST > 10:
    STEP = 3
else:
    STEP = FEWEST
COUNT: int = 4
COUNT += 1


@shapes_no_number
def tell(text):
    print(text)


class Refused(Exception):
    """A mistake."""


class Root(Parent):
    """What it is."""

    rate: float = Field(0.5, gt=0, description="how fast")
    half: ClassVar[float] = 0.5
    twice = half * 2
    listed = [item for item in (1, 2)]

    def __init__(self, given: int = FEWEST, *items: int, scale: float = 1e-3, **more: int) -> None:
        """Begin."""
        super().__init__()
        total: float = sum(item**2 for item in items if item)  # why
        name = f"{total:.2f} of {given!r:>{MOST}}" "and" f" more"
        self.kept = {name: [None, -0.0, math.pi, *more], "b": (lambda y, z=total: y[1:z])(items)}
        tell(f"begun with {total}")

    @property
    def steps(self):
        return STEP * COUNT

    @shapes_no_number
    def shown(self):
        return "shown"

    def run(self, rows: "list[int]", call: Callable) -> int:
        seen = 0

        def count(row):
            nonlocal seen
            seen += row
            return row

        def of_class():
            rate = 5
            return rate

        for number, (row, *rest) in enumerate(rows):
            with open(paths.join("a", "b")) as file, file as again:
                seen += count(row) + len(rest) + number
        try:
            import numpy as heavy
            from sample.other import deep

            seen += heavy.int64(deep(seen))
        except (ValueError, other.Odd) as error:
            raise Refused(f"it went wrong: {error}") from error
        else:
            assert seen, f"nothing was seen of {rows}"
        finally:
            del number
        match rows:
            case [first, *_] if (last := first) > 1:
                seen = last
            case {"a": value, **remaining}:
                seen = helper(value, remaining)
            case Root(kept=inner) | inner:
                seen = inner
        found = {key: call(key) for key in rows for _ in range(key) if (kept := key)}
        while True:
            break
        return [of_class(), *found, kept, *(RATE for RATE in rows)], RATE
''',
    "other": """
RATE = 0.1
def helper(value, remaining):
    return value if remaining else RATE
def deep(value): return helper(value, LIMITS["low"])
LIMITS = {"low": 1}
class Odd(Exception): pass
class Base:
    size = 3
""",
}
DIGEST = (
    "1eb117811dfc"  # it changes only with the way in which definitions are written: then every result gets a new name
)


def package(folder: Path, **changed: str) -> Package:
    folder = folder / "sample"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, text in (SAMPLE | changed).items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return Package(folder)


def digest(folder: Path, **changed: str) -> str:
    return digest_of([package(folder, **changed).definition("main:Root")])


def runs(python: str | Path) -> bool:
    return subprocess.run([python, "-c", ""], stderr=subprocess.DEVNULL, check=False).returncode == 0


def pythons() -> list[str]:
    """Every Python of 3.11 to 3.13 at hand, one of each."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = []
    for minor in (11, 12, 13):
        there = [shutil.which(f"python3.{minor}"), *pyenv.glob(f"versions/3.{minor}.*/bin/python")]
        runs = [
            str(path)
            for path in there
            if path and not subprocess.run([path, "-c", ""], stderr=subprocess.DEVNULL, check=False).returncode
        ]
        found += runs[:1]
    return found


@pytest.mark.parametrize("python", pythons(), ids=lambda path: Path(path).resolve().name)
def test_every_python_writes_the_same(tmp_path, python):
    folder = package(tmp_path).folder
    code = f"""
import sys
sys.path.insert(0, {str(REPOSITORY / "workflow")!r})
from pathlib import Path
from heldout.planning.definitions import Package
from heldout.planning.written import digest_of
print(digest_of([Package(Path({str(folder)!r})).definition("main:Root")]))
"""
    # Without site-packages: the standard library is all it needs.
    done = subprocess.run([python, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == DIGEST


def test_what_is_reached(tmp_path):
    found = {repr(definition) for definition in reached([package(tmp_path).definition("main:Root")])}
    main = {"Root", "FEWEST,MOST", "STEP", "COUNT", "Refused"}
    other = {"RATE", "helper", "deep", "LIMITS", "Odd", "Base"}
    assert found == {f"sample.main:{name}" for name in main} | {f"sample.other:{name}" for name in other}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# why", "# because"),
        ('"""Begin."""', '"""Go."""'),
        ('        """Begin."""\n', ""),
        ('"how fast"', '"how quickly"'),
        (', description="how fast"', ""),
        ("\n    def run", "\n\n\n    def run"),
        ("total: float = ", "total = "),
        ("COUNT: int = 4", "COUNT = 4"),
        ("given: int = FEWEST", "given=FEWEST"),
        ('rows: "list[int]", call: Callable) -> int', "rows, call)"),
        ('f"begun with {total}"', '"begun"'),
        ('    def shown(self):\n        return "shown"', '    def other(self):\n        return "other"'),
        ('f"it went wrong: {error}"', '"oh"'),
        (" from error", ""),
        (', f"nothing was seen of {rows}"', ""),
        ('"and" f" more"', 'f"and more"'),
        ("            nonlocal seen\n", "            nonlocal seen\n            pass\n"),
        ("import os.path as paths", "from os import path as paths"),
        ("import math", "import math as sums"),
        ("from sample.other import deep", "from sample.other import deep as deeper"),
    ],
)
def test_how_it_is_spelt_does_not_count(tmp_path, old, new):
    text = SAMPLE["main"]
    assert old in text
    text = text.replace(old, new)
    text = text.replace("math.pi", "sums.pi") if "sums" in new else text
    text = text.replace("deep(seen)", "deeper(seen)") if "deeper" in new else text
    assert digest(tmp_path, main=text) == digest(tmp_path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("2, 20", "2, 30"),
        ("FEWEST, MOST = 2, 20", "MOST, FEWEST = 2, 20"),
        ("given: int = FEWEST", "given: int = MOST"),
        ("STEP = 3", "STEP = 4"),
        ("COUNT += 1", "COUNT += 2"),
        ("rate: float", "rate: int"),
        ("ClassVar[float]", "ClassVar[int]"),
        ("gt=0", "ge=0"),
        ("half * 2", "half + 2"),
        ("twice = half", "twice = rate"),
        ("item**2", "item**3"),
        ("if item)", "if not item)"),
        (":.2f", ":.3f"),
        ("!r", "!s"),
        ("-0.0", "0.0"),
        ("None,", "0,"),
        ("*more]", "more]"),
        ("y, z=total", "y, w=total"),
        ("y[1:z]", "y[z:1]"),
        ("STEP * COUNT", "COUNT * STEP"),
        ("    @property\n", ""),
        ("            nonlocal seen\n", ""),
        ("seen += row", "seen -= row"),
        ("rate = 5", "rate = 6"),
        ("row, *rest", "row, rest"),
        ("len(rest) + number", "len(rest) + row"),
        ('"a", "b"', '"b", "a"'),
        ("as file, file as again", "as again, file as file"),
        ("heavy.int64", "heavy.int32"),
        ("numpy as heavy", "scipy as heavy"),
        ("raise Refused", "raise ValueError"),
        ("(ValueError, other.Odd)", "ValueError"),
        ("assert seen", "assert rows"),
        ("del number", "del row"),
        ("(last := first)", "(first := first)"),
        ("> 1", "> 2"),
        ("**remaining", "**others"),
        ("kept=inner", "listed=inner"),
        ("key: call(key)", "key: key"),
        ("for key in rows for _ in range(key)", "for _ in rows for key in range(_)"),
        ("*(RATE for RATE in rows)], RATE", "*(RATE for RATE in rows)], rows"),
        ("*(RATE for RATE in rows)]", "*(RATE for _ in rows)]"),
        ("Root(Parent)", "Root"),
        ("super().__init__()", "pass"),
        ("break", "continue"),
    ],
)
def test_what_it_computes_counts(tmp_path, old, new):
    assert old in SAMPLE["main"]
    assert digest(tmp_path, main=SAMPLE["main"].replace(old, new)) != digest(tmp_path)


@pytest.mark.parametrize(
    ("old", "new"), [("RATE = 0.1", "RATE = 0.2"), ('{"low": 1}', '{"low": 2}'), ("size = 3", "size = 4")]
)
def test_what_is_two_imports_away_counts(tmp_path, old, new):
    assert digest(tmp_path, other=SAMPLE["other"].replace(old, new)) != digest(tmp_path)


def test_no_local_counts_by_its_name(tmp_path):
    renamed = locals_renamed(SAMPLE["main"])
    assert "total_" in renamed and "seen_" in renamed and "error_" in renamed and "remaining_" in renamed
    assert digest(tmp_path, main=renamed) == digest(tmp_path)


def locals_renamed(text: str) -> str:
    """Return the source with another name for every local variable, found by the standard library's symbol tables."""
    tree, tables = ast.parse(text), {}

    def collect(table: symtable.SymbolTable, renamed: frozenset[str]) -> None:
        own = set()
        if table.get_type() == "function":
            own = {s.get_name() for s in table.get_symbols() if s.is_local() and not s.is_parameter()}
            own -= {s.get_name() for s in table.get_symbols() if s.is_imported()}
        bound = {s.get_name() for s in table.get_symbols() if s.is_local() or s.is_global()}
        here = (renamed - bound) | own if table.get_type() == "function" else renamed - bound
        tables.setdefault((table.get_name(), table.get_lineno()), []).append(here)
        below = here if table.get_type() == "function" else renamed
        for child in table.get_children():
            collect(child, frozenset(below))

    collect(symtable.symtable(text, "sample", "exec"), frozenset())
    return ast.unparse(_Renamed(tables).visit(tree))


class _Renamed(ast.NodeTransformer):
    def __init__(self, tables: dict[tuple[str, int], list[set[str]]]) -> None:
        self.tables, self.stack = tables, [set()]

    def within(self, name: str, node: ast.AST, inner: list[str], outer: tuple[str, ...] = ()) -> ast.AST:
        line = node.decorator_list[0].lineno if getattr(node, "decorator_list", None) else node.lineno
        there = self.tables.get((name, node.lineno)) or self.tables[(name, line)]
        here = there.pop(0)
        for field in outer:
            setattr(node, field, self.each(getattr(node, field)))
        self.stack.append(here)
        for field in inner:
            setattr(node, field, self.each(getattr(node, field)))
        self.stack.pop()
        return node

    def each(self, value):
        if isinstance(value, list):
            return [self.each(item) for item in value]
        return self.visit(value) if isinstance(value, ast.AST) else self.named(value)

    def named(self, value):
        return f"{value}_" if isinstance(value, str) and value in self.stack[-1] else value

    def visit_FunctionDef(self, node):
        node.args.defaults, node.args.kw_defaults = self.each(node.args.defaults), self.each(node.args.kw_defaults)
        node.decorator_list = self.each(node.decorator_list)
        name, node.name = node.name, self.named(node.name)
        return self.within(name, node, ["body"])

    def visit_ClassDef(self, node):
        node.bases, node.decorator_list = self.each(node.bases), self.each(node.decorator_list)
        name, node.name = node.name, self.named(node.name)
        return self.within(name, node, ["body"])

    def visit_Lambda(self, node):
        node.args.defaults = self.each(node.args.defaults)
        return self.within("lambda", node, ["body"])

    def comprehension(self, name, node, results):
        first = node.generators[0]
        first.iter = self.each(first.iter)
        iterated, first.iter = first.iter, ast.Constant(None)
        self.within(name, node, ["generators", *results])
        first.iter = iterated
        return node

    def visit_ListComp(self, node):
        return self.comprehension("listcomp", node, ["elt"])

    def visit_SetComp(self, node):
        return self.comprehension("setcomp", node, ["elt"])

    def visit_GeneratorExp(self, node):
        return self.comprehension("genexpr", node, ["elt"])

    def visit_DictComp(self, node):
        return self.comprehension("dictcomp", node, ["key", "value"])

    def visit_Name(self, node):
        node.id = self.named(node.id)
        return node

    def visit_Nonlocal(self, node):
        node.names = [self.named(name) for name in node.names]
        return node

    def visit_ExceptHandler(self, node):
        node.name = self.named(node.name)
        return self.generic_visit(node)

    def visit_MatchAs(self, node):
        return self.visit_ExceptHandler(node)

    def visit_MatchStar(self, node):
        return self.visit_ExceptHandler(node)

    def visit_MatchMapping(self, node):
        node.rest = self.named(node.rest)
        return self.generic_visit(node)


UNFOLLOWED = """
import sample
from sample import other
from sample.other import *

LIMITS = {}
LIMITS["low"] = 2

def root(rows):
    global COUNT
    COUNT = getattr(rows, "count")
    other.RATE = 3
    LIMITS["high"] = vars(other)
    rows.size = __file__
    return sample.absent
"""


def test_what_cannot_be_followed_is_listed(tmp_path):
    found = package(tmp_path, main=UNFOLLOWED).definition("main:root")
    assert found.module.loose() == [4, 7]
    assert [(line, why) for line, why in written(found).unfollowed] == [
        (10, "it assigns to a global name"),
        (11, "getattr"),
        (12, "it changes other"),
        (13, "it changes LIMITS"),
        (13, "vars"),
        (13, "sample.other is used as a value"),
        (14, "__file__"),
        (15, "sample.absent is not defined"),
    ]


def test_the_cpp_file_beside_a_module_counts(tmp_path):
    def digest(text: str) -> str:
        there = package(tmp_path, kernel="SOURCE = __file__\nOTHER = 1\n")
        (there.folder / "kernel.cpp").write_text(text, encoding="utf-8")
        assert digest_of([there.definition("kernel:OTHER")]) == other
        return digest_of([there.definition("kernel:SOURCE")])

    other = digest_of([package(tmp_path, kernel="OTHER = 1\n").definition("kernel:OTHER")])
    before = digest("float rate = 0.5f;  // how fast\n")
    assert digest("// The rate.\n  float rate\n    = 0.5f;\n") == before
    assert digest("float rate = 0.6f;  // how fast\n") != before
