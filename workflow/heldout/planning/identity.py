"""The digest that names a file: parameters, digests of inputs, and the source that shapes its numbers.

The source is found without importing it, from a plug-in's file along its `heldout.` imports. Each file counts by a walk
of its syntax tree: node types and non-empty fields, without docstrings, descriptions, positions and registrations. So a
comment changes no digest, and Python 3.11, 3.12 and 3.13 agree (`ast.dump` of one file differs between them).
The C++ file beside a module counts as well, without its comments and its layout.
"""

import ast
from functools import cache
from pathlib import Path
from typing import Any

from heldout.errors import HeldoutError
from heldout.registry import PACKAGE
from heldout.storage.hashing import digest
from heldout.storage.specs import Spec

# Modules that carry numbers but do not shape them.
UNCOUNTED = {
    "search.backends",
    "planning.experiment",
    "planning.identity",
    "planning.schema",
    "registry",
    "errors",
    "storage.files",
    "storage.hashing",
    "storage.specs",
}
# What every trained model and every score goes through, whether its file imports it or not.
ALWAYS = ("heldout.numerics.training_steps",)
# What every prepared array goes through.
IMAGES = ("heldout.numerics.pixels",)


@cache
def source_digest(module: str, always: tuple[str, ...] = ()) -> str:
    """Return the digest of a module's source and of everything of ours that it imports.

    Args:
        module: dotted name, such as `heldout.models.wgan`; its file is read, never imported.
        always: further modules that count although nothing imports them.
    """
    found: dict[str, str] = {}
    waiting = [module, *always]
    while waiting:
        name = waiting.pop()
        if name not in found and name.removeprefix("heldout.") not in UNCOUNTED:
            path = module_file(name)
            found[name] = _numbers_digest(path)
            if path.with_suffix(".cpp").is_file():
                found[f"{name}.cpp"] = _cpp_digest(path.with_suffix(".cpp"))
            waiting.extend(_imports(path))
    return digest(found)


def module_file(module: str) -> Path:
    path = PACKAGE.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def check_source(spec: Spec, module: str, always: tuple[str, ...] = ()) -> None:
    """Raise HeldoutError if the code is not what the spec was planned with: the file would bear a wrong name."""
    if source_digest(module, always) != spec.source:
        raise HeldoutError(f"{module} has changed since this job was planned; run snakemake again")


@cache
def file_digest(path: Path) -> str:
    """Return the digest of one file's syntax tree; comments, docstrings and layout do not count."""
    return digest(_outline(_tree(path)))


@cache
def _numbers_digest(path: Path) -> str:
    """Return the same without what a plug-in says of itself: its registration (`family`, `cost`) and small trial."""
    return digest(_outline(_Unregistered().visit(ast.parse(path.read_text(encoding="utf-8")))))


@cache
def _cpp_digest(path: Path) -> str:
    lines = [line.partition("//")[0].split() for line in path.read_text(encoding="utf-8").splitlines()]
    return digest([word for line in lines for word in line])


class _Unregistered(ast.NodeTransformer):
    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        node.decorator_list = [item for item in node.decorator_list if not ast.unparse(item).startswith("registry.")]
        return node


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _imports(path: Path) -> list[str]:
    names = []
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports are not followed; write `from heldout...`"
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.startswith("heldout.") and module_file(name).is_file()]


def _outline(node: Any) -> Any:
    if isinstance(node, ast.Constant):
        return ["Constant", type(node.value).__name__, repr(node.value)]
    if isinstance(node, ast.AST):
        fields = []
        for name, value in ast.iter_fields(node):
            if name in ("type_comment", "kind", "ctx"):
                continue
            if name == "body" and isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                value = value[1:] if ast.get_docstring(node, clean=False) is not None else value
            if name == "keywords":  # a parameter's description is documentation
                value = [keyword for keyword in value if keyword.arg != "description"]
            if name == "values" and isinstance(node, ast.JoinedStr):
                value = _merged(value)
            if value is not None and value != []:
                fields.append([name, _outline(value)])
        return [type(node).__name__, fields]
    if isinstance(node, list):
        return [_outline(item) for item in node]
    return None if node is None else str(node)


def _merged(parts: list[ast.expr]) -> list[ast.expr]:
    """Return an f-string's parts with neighbouring texts joined: how it is cut up differs between Pythons."""
    merged: list[ast.expr] = []
    for part in parts:
        if isinstance(part, ast.Constant) and merged and isinstance(merged[-1], ast.Constant):
            merged[-1] = ast.Constant(merged[-1].value + part.value)
        elif not (isinstance(part, ast.Constant) and part.value == ""):
            merged.append(part)
    return merged
