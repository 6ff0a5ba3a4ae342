"""Resolves names of the package to their definitions by parsing its files, without importing them.

A definition consists of all top-level statements that bind a name. Names that one statement binds together, such as
`FEWEST, MOST = 2, 20`, share a definition. Imports only the standard library.
"""

import ast
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

MARKER = "shapes_no_number"
# How a name is bound, unless it is Imported.
LOCAL, ARGUMENT, GLOBAL, NONLOCAL = "a local", "an argument", "a global", "a nonlocal"


class Imported(str):
    """The dotted name of the object that an import binds."""


class Package:
    """The modules of a package, each parsed when it is first needed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.top = folder, folder.name
        self._modules: dict[str, Module | None] = {}

    def module(self, name: str) -> "Module | None":
        """Return a module by its dotted name, or None if the package has no such file."""
        if name not in self._modules:
            top, *parts = name.split(".")
            path = self.folder.joinpath(*parts)
            path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            self._modules[name] = Module(self, name, path) if top == self.top and path.is_file() else None
        return self._modules[name]

    def find(self, dotted: list[str]) -> "tuple[Definition | Module | None, list[str]]":
        """Resolve a dotted name.

        Returns:
            A definition, with its name and the attributes after it; a module, with the whole name; or None, with the
            whole name, if it belongs to another package or does not exist.
        """
        module = self.module(dotted[0])
        for place, name in enumerate(dotted[1:], 1):
            if module is None:
                break
            if name in module.bound:
                return module.find(dotted[place:])
            module = self.module(f"{module.name}.{name}")
        return module, dotted

    def definition(self, name: str) -> "Definition":
        """Return the definition `module:name`; the module is relative to the package."""
        found, _ = self.find([self.top, *name.replace(":", ".").split(".")])
        assert isinstance(found, Definition), f"{name} is not defined"
        return found


class Module:
    """One file of the package."""

    def __init__(self, package: Package, name: str, path: Path) -> None:
        self.package, self.name, self.path = package, name, path

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text(encoding="utf-8"), filename=str(self.path))

    @cached_property
    def bound(self) -> "dict[str, Definition | Imported]":
        """The definition of each top-level name, or the object that it imports."""
        binding: dict[str, list[ast.stmt]] = {}
        meaning: dict[str, str] = {}
        for statement in self.tree.body:
            is_import = isinstance(statement, (ast.Import, ast.ImportFrom))
            for name, how in names_in([statement]).items():
                binding.setdefault(name, []).append(statement)
                meaning[name] = how if is_import and meaning.get(name, how) == how else LOCAL
        found: dict[str, Definition | Imported] = {}
        for name in binding:
            how = meaning[name]
            if isinstance(how, Imported):
                found[name] = how
            elif name not in found:
                names = [name]
                for each in names:  # grows
                    names += [other for other in binding if other not in names and {*binding[other]} & {*binding[each]}]
                statements = {statement for each in names for statement in binding[each]}
                definition = Definition(self, names, sorted(statements, key=lambda statement: statement.lineno))
                found.update(dict.fromkeys(names, definition))
        return found

    def find(self, dotted: list[str]) -> "tuple[Definition | Module | None, list[str]]":
        """Resolve a dotted name at the top level of this module, as `Package.find` does."""
        bound = self.bound.get(dotted[0])
        if isinstance(bound, Imported):
            return self.package.find([*bound.split("."), *dotted[1:]])
        return bound, dotted

    def definition(self, node: ast.expr | None) -> "Definition | None":
        """Return the definition that a top-level expression, or the function that it calls, refers to."""
        words = dotted_name(node.func if isinstance(node, ast.Call) else node)
        found = self.find(words)[0] if words else None
        return found if isinstance(found, Definition) else None

    def decorators(self, statement: ast.stmt) -> "dict[Definition, ast.expr]":
        """Return a statement's decorators that the package defines, by definition."""
        found = {self.definition(node): node for node in getattr(statement, "decorator_list", ())}
        return {definition: node for definition, node in found.items() if definition}

    def is_marked(self, statement: ast.stmt) -> bool:
        return any(definition.is_marker for definition in self.decorators(statement))

    def loose(self) -> list[int]:
        """Return the lines of star imports and of other statements that bind no name: they may change definitions."""
        found = []
        for statement in self.tree.body:
            names = names_in([statement])
            is_documentation = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            if "*" in names or not (names or is_documentation):
                found.append(statement.lineno)
        return found


class Definition:
    """All top-level statements of a module that bind one of some names."""

    def __init__(self, module: Module, names: list[str], statements: list[ast.stmt]) -> None:
        self.module, self.names, self.statements = module, names, statements

    def __repr__(self) -> str:
        return f"{self.module.name}:{','.join(self.names)}"

    @property
    def is_marker(self) -> bool:
        return self.names == [MARKER] and self.module.name == self.module.package.top

    @cached_property
    def is_marked(self) -> bool:
        """Whether `@shapes_no_number` decorates it."""
        return self.is_marker or any(self.module.is_marked(statement) for statement in self.statements)


def names_in(body: list[Any]) -> dict[str, str]:
    """Return how a body binds each of its names; an import counts only if nothing else binds the name."""
    names: dict[str, str] = {}
    for name, how in (binding for part in body for binding in _bindings(part)):
        before = names.get(name, how)
        if how in (GLOBAL, NONLOCAL) or before == how:
            names[name] = how
        elif before not in (GLOBAL, NONLOCAL):
            names[name] = LOCAL
    return names


def _bindings(node: ast.AST, in_comprehension: bool = False) -> Iterator[tuple[str, str]]:
    """Yield each name that a node binds in its scope, and how."""
    match node:
        case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
            yield name, LOCAL
            return
        case ast.Lambda():
            return
        case ast.Import(aliases):
            for alias in aliases:
                top = alias.name.partition(".")[0]
                yield alias.asname or top, Imported(alias.name if alias.asname else top)
            return
        case ast.ImportFrom(module, aliases, level):
            assert level == 0, f"line {node.lineno}: relative imports are not followed; write the whole name"
            for alias in aliases:
                yield alias.asname or alias.name, Imported(f"{module}.{alias.name}")
            return
        case ast.Global(names):
            yield from ((name, GLOBAL) for name in names)
        case ast.Nonlocal(names):
            yield from ((name, NONLOCAL) for name in names)
        case ast.Name(name, ast.Store() | ast.Del()):
            if not in_comprehension:
                yield name, LOCAL
        case ast.NamedExpr(ast.Name(name)):  # binds the name outside a comprehension, too
            yield name, LOCAL
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(str(name)):
            yield name, LOCAL
        case ast.MatchMapping(rest=str(name)):
            yield name, LOCAL
        case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
            in_comprehension = True
    for child in ast.iter_child_nodes(node):
        yield from _bindings(child, in_comprehension)


def dotted_name(node: ast.expr | None) -> list[str]:
    """Return a name and its attributes; an empty list for any other expression."""
    words: list[str] = []
    while isinstance(node, ast.Attribute):
        words.insert(0, node.attr)
        node = node.value
    return [node.id, *words] if isinstance(node, ast.Name) else []
