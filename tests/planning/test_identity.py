"""Source digests, on a copy of the package: moved by what moves a number and by nothing else."""

import ast
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from heldout import registry
from heldout.planning import identity
from heldout.planning.definitions import Package
from heldout.planning.identity import PACKAGE, PLUGINS, ROOTS
from heldout.planning.written import digest_of, reached, written
from heldout.storage.hashing import canonical, digest
from tests.conftest import REPOSITORY
from tests.planning.test_written import locals_renamed

SOURCES = [(step, plugin) for step in ROOTS for plugin in (registry.names(PLUGINS[step]) if step in PLUGINS else [""])]
COMPUTING = [source for source in SOURCES if source[0] in ("prepare", "split", "train", "score")]


@pytest.fixture
def copy(tmp_path):
    """The package's files, to be changed."""
    return shutil.copytree(PACKAGE.folder, tmp_path / "heldout", ignore=shutil.ignore_patterns("__pycache__"))


def digests(folder: Path, sources=tuple(COMPUTING)) -> dict[tuple[str, str], str]:
    package = Package(folder)
    return {source: digest_of(identity.roots(*source, package)) for source in sources}


@cache
def todays() -> dict[tuple[str, str], str]:
    return digests(PACKAGE.folder)


def rewrite(folder: Path, change) -> int:
    """Replace the syntax tree of every file by what `change` makes of it; return how many files differ."""
    changed = 0
    for path in folder.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        new = change(text)
        changed += ast.unparse(ast.parse(new)) != ast.unparse(ast.parse(text))
        path.write_text(new, encoding="utf-8")
    return changed


class Undocumented(ast.NodeTransformer):
    """Another docstring everywhere, no annotation of a function or a local, other descriptions and messages."""

    def visit_FunctionDef(self, node):
        node.returns = None
        for argument in ast.walk(node.args):
            if isinstance(argument, ast.arg) and argument.arg != "params":  # which says whose parameters they are
                argument.annotation = None
        node.body = [
            ast.Assign([each.target], each.value, lineno=each.lineno)
            if isinstance(each, ast.AnnAssign) and each.value
            else each
            for each in node.body
        ]
        return self.documented(node)

    def visit_ClassDef(self, node):
        return self.documented(node)

    def documented(self, node):
        without = node.body[1:] if ast.get_docstring(node) is not None else node.body
        node.body = [ast.Expr(ast.Constant("Another.")), *without]
        return self.generic_visit(node)

    def visit_keyword(self, node):
        if node.arg == "description":
            node.value = ast.Constant("another")
        return self.generic_visit(node)

    def visit_Raise(self, node):
        if isinstance(node.exc, ast.Call):
            node.exc.args = [ast.JoinedStr([ast.Constant("another of "), ast.FormattedValue(ast.Name("__name__"), -1)])]
        return node


def undocumented(text):
    return ast.unparse(ast.fix_missing_locations(Undocumented().visit(ast.parse(text))))


def reordered(text):
    """The source with its top-level definitions in the opposite order."""
    tree = ast.parse(text)
    documentation = [node for node in tree.body if isinstance(node, ast.Expr)]
    tree.body = [*documentation, *reversed([node for node in tree.body if node not in documentation])]
    return ast.unparse(tree)


@pytest.mark.parametrize("change", [locals_renamed, undocumented, reordered])
def test_spelling_changes_no_digest(copy, change):
    assert rewrite(copy, change) > 50
    assert digests(copy) == todays()


def test_renamed_functions_change_no_digest(copy):
    texts = {path: path.read_text(encoding="utf-8") for path in copy.rglob("*.py")}
    renamed = 0
    for path, text in texts.items():
        for name in re.findall(r"^(?:def|class) (_\w+)", text, flags=re.M):
            elsewhere = any(re.search(rf"\b{name}\b", other) for each, other in texts.items() if each != path)
            if not elsewhere and not re.search(rf"[.\"']{name}\b", text):  # an attribute counts by its name
                text = re.sub(rf"\b{name}\b", f"renamed{name}", text)
                renamed += 1
        path.write_text(text, encoding="utf-8")
    assert renamed > 100
    assert digests(copy) == todays()


def test_renamed_modules_change_no_digest(copy):
    rooted = {root.partition(":")[0] for roots in ROOTS.values() for root in roots}
    places = [
        path.relative_to(copy).with_suffix("")
        for folder in ("networks", "numerics", "search", "storage")
        for path in (copy / folder).rglob("*.py")
    ]
    moved = [place for place in places if place.stem != "__init__" and ".".join(place.parts) not in rooted]
    assert len(moved) > 20
    for place in moved:
        for path in copy.glob(f"{place}.*"):
            path.rename(path.with_stem(f"{place.stem}_renamed"))
    for path in copy.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for place in moved:
            package, name = ".".join(("heldout", *place.parent.parts)), place.stem
            text = re.sub(rf"\b{package}\.{name}\b", f"{package}.{name}_renamed", text)
            text = re.sub(rf"(from {package} import [^#\n]*)\b{name}\b", rf"\g<1>{name}_renamed as {name}", text)
        path.write_text(text, encoding="utf-8")
    assert digests(copy) == todays()


def test_a_function_in_another_file_changes_no_digest(copy):
    old, new = copy / "numerics" / "blocks.py", copy / "numerics" / "randomness.py"
    with open(new, "a", encoding="utf-8") as file:
        file.write("\n\n" + old.read_text(encoding="utf-8"))
    old.unlink()
    for path in copy.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("heldout.numerics.blocks", "heldout.numerics.randomness"), encoding="utf-8")
    assert digests(copy) == todays()


def trainings(*names):
    return {("train", name) for name in names}


def scorings(*names):
    return {("score", name) for name in names}


@pytest.mark.parametrize(
    ("file", "old", "new", "moved", "others"),
    [
        ("networks/dcgan.py", "FIRST_SIDE = 4", "FIRST_SIDE = 8", trainings("wgan", "vae"), scorings("kde")),
        ("networks/dcgan.py", "normal_(0, 0.02", "normal_(0, 0.03", trainings("wgan"), scorings("adgan", "kde")),
        (
            "models/deep_svdd.py",
            "self.pretraining + self.steps",
            "self.steps",
            trainings("deep_svdd"),
            trainings("vae"),
        ),
        ("models/wgan.py", "Field(0.01, gt=0", "Field(0.02, gt=0", trainings("wgan"), trainings("wgan_gp")),
        ("numerics/blocks.py", "tensor[-1:]", "tensor[:1]", scorings("adgan", "kde"), {("split", "")}),
        ("numerics/pixels.py", "127.5", "127", trainings("vae") | scorings("kde"), {("prepare", "mnist")}),
        ("numerics/pixels.py", "antialias=True", "antialias=False", {("prepare", "mnist")}, trainings("vae")),
        ("search/native/joint_search.cpp", "1e-8", "1e-7", scorings("adgan", "prior"), scorings("kde")),
        (
            "stages/split.py",
            "FEWEST_TRAINING_IMAGES = 2",
            "FEWEST_TRAINING_IMAGES = 3",
            {("split", "")},
            trainings("vae"),
        ),
        ("registry.py", 'extra="forbid"', 'extra="ignore"', trainings("vae") | scorings("kde"), {("split", "")}),
    ],
)
def test_a_changed_computation_moves_the_digests_that_reach_it(copy, file, old, new, moved, others):
    path = copy / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    now, before = digests(copy, (*moved, *others)), todays()
    assert {source for source in now if now[source] != before[source]} == moved


def test_another_order_of_operands_moves_every_digest_that_reaches_it(copy):
    swapped = Swapped()
    path = copy / "models" / "wgan.py"
    tree = swapped.visit(ast.parse(path.read_text(encoding="utf-8")))
    path.write_text(ast.unparse(tree), encoding="utf-8")
    assert swapped.count
    now = digests(copy)
    assert {source for source in now if now[source] != todays()[source]} == trainings("wgan")


class Swapped(ast.NodeTransformer):
    """The first difference in a method, with its operands exchanged."""

    count = 0

    def visit_BinOp(self, node):
        if isinstance(node.op, ast.Sub) and not self.count:
            node.left, node.right, self.count = node.right, node.left, 1
        return self.generic_visit(node)


def test_the_roots_are_what_the_registry_loads():
    for step, kind in PLUGINS.items():
        for name in registry.names(kind):
            entry = registry.load(kind, name)
            found = {repr(definition) for definition in reached(identity.roots(step, name))}
            plugins = [entry.plugin] if entry.params is None else [entry.plugin, entry.params]
            assert {f"{each.__module__}:{each.__name__}" for each in plugins} <= found


# What a definition looks up by name, which cannot be followed, and why no number is missed.
REVIEWED = {
    ("heldout.networks.dcgan:initialise", "getattr"): "of a layer of PyTorch's",
    ("heldout.search.native.joint_search:search", "getattr"): "of the settings, whose class is reached",
}


def test_everything_is_followed_but_what_is_reviewed():
    found = {definition for source in SOURCES for definition in reached(identity.roots(*source))}
    unfollowed = {
        (repr(definition), each.why): f"{definition.module.path}:{each.line}: {each.why}"
        for definition in found
        for each in written(definition).unfollowed
    }
    assert not [place for key, place in unfollowed.items() if key not in REVIEWED]
    assert set(REVIEWED) == set(unfollowed), "no longer there: strike it off the list"
    loose = [f"{module.path}:{line}" for module in {each.module for each in found} for line in module.loose()]
    assert not loose, "a statement that defines nothing changes what others define"


def test_what_is_kept_of_an_earlier_process_holds_for_the_same_files_alone(copy):
    """The package under `copy` is asked as Snakemake and its jobs ask: each time by a process of its own."""

    def asked():
        code = """
import sys
from heldout.planning import identity
print(identity.source_digest("train", "wgan"), len(identity.PACKAGE._modules))
"""
        done = subprocess.run([sys.executable, "-c", code], cwd=copy.parent, capture_output=True, text=True, check=True)
        found, parsed = done.stdout.split()
        return found, int(parsed)

    first, parsed = asked()
    assert first == todays()["train", "wgan"] and parsed
    assert asked() == (first, 0)
    path = copy / "networks" / "dcgan.py"
    path.write_text(path.read_text(encoding="utf-8").replace("FIRST_SIDE = 4", "FIRST_SIDE = 8"), encoding="utf-8")
    changed, _ = asked()
    assert changed != first
    cache = copy / "__pycache__" / "digests.json"
    for damaged in ("{", cache.read_text(encoding="utf-8").replace(changed, "0" * 12)):
        cache.write_text(damaged, encoding="utf-8")
        found, parsed = asked()
        assert found == changed and parsed


def test_canonical_json_has_one_form():
    assert canonical({"b": 1.0, "a": [1, None, "é"]}) == '{"a":[1,null,"é"],"b":1.0}'
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert digest({"a": 1}) != digest({"a": 1.5})
    with pytest.raises(ValueError):
        canonical(float("nan"))


@pytest.mark.parametrize("module", ["torch", "torchvision", "sklearn", "matplotlib", "pandas", "numpy"])
def test_planning_imports_nothing_heavy(module):
    imported = re.findall(
        r"^from (heldout\S+) import", (REPOSITORY / "workflow/rules/plan.smk").read_text(), re.MULTILINE
    )
    code = f"import sys, {', '.join(imported)}; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
