"""The package's layout: imports between packages go one way, files are short, and the root holds little."""

import ast
from pathlib import Path

import pytest

from heldout.registry import PACKAGE

# From the top: a package may import from the layers below its own, not from its own layer's other packages.
LAYERS = (
    {"cli"},
    {"project"},
    {"figures"},
    {"evaluation"},
    {"stages"},
    {"planning"},
    {"combinations", "methods", "models", "weights"},
    {"datasets"},  # published weights are fetched as a dataset's files are
    {"search"},
    {"numerics"},
    {"registry"},
    {"storage"},
    {"networks"},  # with the shape of an image, which files state too
    {"errors"},
)
LINES = 400
FILES = sorted(PACKAGE.rglob("*.py"))


def package_of(parts: tuple[str, ...]) -> str:
    return parts[0].removesuffix(".py") if parts else "__init__"


class Run(ast.NodeTransformer):
    """A file without its imports for annotations alone."""

    def visit_If(self, node: ast.If) -> ast.If | None:
        return None if ast.unparse(node.test).endswith("TYPE_CHECKING") else node


def imported(path: Path) -> set[str]:
    """The packages of ours that a file imports, wherever in the file; what only annotations name runs nothing."""
    names = set()
    for node in ast.walk(Run().visit(ast.parse(path.read_text(encoding="utf-8")))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "heldout":
            below = node.module.split(".")[1:]
            names |= {below[0]} if below else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("heldout.")}
    rooms = {package_of(path.relative_to(PACKAGE).parts) for path in FILES}
    return names & rooms  # what else the root names is no module


def level(package: str) -> int:
    return next(number for number, layer in enumerate(LAYERS) if package in layer)


def test_imports_between_packages_go_one_way():
    upwards = []
    for path in FILES:
        own = package_of(path.relative_to(PACKAGE).parts)
        if own.startswith("__"):
            continue
        for other in imported(path) - {own}:
            if level(other) <= level(own):
                upwards.append(f"{path.relative_to(PACKAGE)} imports {other}")
    assert not upwards


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_is_longer_than_a_sitting(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES


def test_the_root_holds_the_command_the_registry_and_the_errors():
    assert {path.stem for path in PACKAGE.glob("*.py")} <= {"__init__", "__main__", "cli", "errors", "registry"}
