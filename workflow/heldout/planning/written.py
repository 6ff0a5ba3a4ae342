"""Writes definitions in a normal form and computes the digest of all definitions that some of them reach.

The normal form is the syntax tree, with numbers in the order of first use in place of local variables and of references
to other definitions of the package. The digest ignores names and locations of definitions, comments, docstrings,
annotations of functions and variables, arguments of exceptions that are raised, and descriptions of parameters. It
includes names of arguments and attributes, because callers use them.

It also ignores definitions under `@shapes_no_number` and the arguments of calls to them. `__file__` stands for the C++
file beside the module. `Written.unfollowed` lists references that cannot be followed; a test compares it with a
reviewed list. Python 3.11 to 3.13 give the same digests. Imports only the standard library and `storage/hashing.py`.
"""

import ast
import hashlib
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from heldout.planning.definitions import (
    ARGUMENT,
    GLOBAL,
    NONLOCAL,
    Definition,
    Imported,
    Module,
    dotted_name,
    names_in,
)
from heldout.storage.hashing import digest

DESCRIBED = (None, ["pydantic", "Field"])
BY_NAME = {"getattr", "setattr", "delattr", "hasattr", "vars", "globals", "locals", "eval", "exec", "__import__"}
BY_NAME |= {"importlib.import_module", "sys.modules", "operator.attrgetter", "operator.methodcaller"}
UNWRITTEN = {"ctx", "kind", "type_comment", "type_params"}


class Unfollowed(NamedTuple):
    line: int
    why: str


class Written(NamedTuple):
    """A definition's hash, the definitions that it refers to by number, and the references that cannot be followed."""

    sha256: str
    references: tuple[Definition, ...]
    unfollowed: tuple[Unfollowed, ...]


@cache
def written(definition: Definition, documented: bool = False) -> Written:
    """Write a definition; `documented` includes marked definitions and descriptions of parameters."""
    writer = _Writer(definition.module, documented)
    for statement in definition.statements:
        writer.write(statement, TOP)
    sha256 = hashlib.sha256("\n".join(writer.words).encode()).hexdigest()
    return Written(sha256, tuple(writer.references), tuple(writer.unfollowed))


def reached(roots: Iterable[Definition], documented: bool = False) -> list[Definition]:
    """Return the roots and every definition that they reach, in the order of the first reference."""
    found = dict.fromkeys(roots)
    waiting = list(found)
    for definition in waiting:  # grows
        new = [each for each in written(definition, documented).references if each not in found]
        found.update(dict.fromkeys(new))
        waiting += new
    return waiting


def digest_of(roots: Iterable[Definition], documented: bool = False) -> str:
    """Return the digest of everything that the roots reach; `documented` as in `written`."""
    places = {definition: place for place, definition in enumerate(reached(roots, documented))}
    found = [written(definition, documented) for definition in places]
    return digest([[each.sha256, [places[reference] for reference in each.references]] for each in found])


class _Scope(NamedTuple):
    """The scope of a function, a class or a comprehension.

    Attributes:
        names: the names that it binds, and how.
        around: the enclosing scope; None for the top level of a module.
        numbers: the number of each local variable written so far.
    """

    names: dict[str, str]
    around: "_Scope | None"
    numbers: dict[str, int]
    is_class: bool = False


TOP = _Scope({}, None, {})


class _Writer:
    """Writes syntax trees as a list of words."""

    def __init__(self, module: Module, documented: bool) -> None:
        self._module, self._documented = module, documented
        self._locals = 0
        self.words: list[str] = []
        self.references: dict[Definition, int] = {}
        self.unfollowed: list[Unfollowed] = []

    def write(self, value: Any, scope: _Scope) -> None:
        if isinstance(value, ast.AST):
            SPECIAL.get(type(value), _Writer._fields)(self, value, scope)
        elif isinstance(value, list):
            self.words.append("[")
            for item in value:
                self.write(item, scope)
            self.words.append("]")
        else:
            self.words.append(repr(value))

    def _fields(self, node: ast.AST, scope: _Scope, **changed: Any) -> None:
        """Write a node by its fields, some of them changed."""
        self.words.append(type(node).__name__)
        for name in node._fields:
            value = changed[name] if name in changed else getattr(node, name, None)
            if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
                value = [statement for statement in value if not self._is_left_out(statement, scope)]
            if name not in UNWRITTEN and value is not None and value != []:
                self.words.append(name)
                self.write(value, scope)
        self.words.append("end")

    def _is_left_out(self, node: ast.stmt, scope: _Scope) -> bool:
        """Whether a statement is documentation or a declaration, or only uses marked definitions."""
        match node:
            case ast.Pass() | ast.Nonlocal() | ast.Expr(ast.Constant()):
                return True
            case ast.Global():
                self._cannot_follow(node, "it assigns to a global name")
                return True
            case ast.Expr(ast.Call(function)):
                return self._is_marked(function, scope)
            case ast.AnnAssign(value=None):
                return not scope.is_class
            case ast.Import() | ast.ImportFrom():
                return all(isinstance(scope.names.get(name), Imported) for name in names_in([node]))
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                return not self._documented and self._module.is_marked(node)
        return False

    def _constant(self, node: ast.Constant, scope: _Scope) -> None:
        self.words += ["Constant", type(node.value).__name__, repr(node.value)]

    def _text(self, node: ast.JoinedStr, scope: _Scope) -> None:
        """Write an f-string with adjacent literals joined, because Python versions split them differently."""
        merged: list[ast.expr] = []
        for part in node.values:
            before = merged[-1] if merged else None
            if isinstance(part, ast.Constant) and isinstance(before, ast.Constant):
                merged[-1] = ast.Constant(str(before.value) + str(part.value))
            elif not (isinstance(part, ast.Constant) and part.value == ""):
                merged.append(part)
        self._fields(node, scope, values=merged)

    def _reference(self, node: Any, scope: _Scope) -> None:
        words = dotted_name(node)
        if not isinstance(node.ctx, ast.Load):
            self._check_change(node, scope)
        if not words:
            self._fields(node, scope)
            return
        holder = self._holder(words[0], scope)
        if holder is TOP or isinstance(holder.names[words[0]], Imported):
            self._refer(*self._found(node, scope), node)
        elif holder.is_class or holder.names[words[0]] == ARGUMENT:
            self.words.append(f"named {'.'.join(words)}")
        else:
            if words[0] not in holder.numbers:
                holder.numbers[words[0]] = self._locals
                self._locals += 1
            self.words.append(f"local {'.'.join([str(holder.numbers[words[0]]), *words[1:]])}")

    def _name(self, name: str, scope: _Scope) -> None:
        """Write a name that a statement binds."""
        self._reference(ast.Name(name, ast.Load()), scope)

    def _refer(self, found: Definition | Module | None, words: list[str], node: ast.AST) -> None:
        """Write a reference to the definition or module that a name resolves to."""
        name = ".".join(words)
        if isinstance(found, Definition):
            if found.is_marked and not self._documented:
                self.words.append("marked")
                return
            place = self.references.setdefault(found, len(self.references))
            self.words.append(f"definition {'.'.join(map(str, [place, found.names.index(words[0]), *words[1:]]))}")
            return
        native = self._module.path.with_suffix(".cpp")
        if name == "__file__" and native.is_file():
            self.words.append(f"native {_cpp_digest(native)}")
            return
        if isinstance(found, Module):
            self._cannot_follow(node, f"{name} is used as a value")
        elif words[0] == self._module.package.top:
            self._cannot_follow(node, f"{name} is not defined")
        elif name in BY_NAME or name == "__file__":
            self._cannot_follow(node, name)
        self.words.append(f"other {name}")

    def _call(self, node: ast.Call, scope: _Scope) -> None:
        if self._is_marked(node.func, scope):
            self.words.append("marked")
            return
        keywords = node.keywords
        if not self._documented and self._found(node.func, scope) == DESCRIBED:
            keywords = [keyword for keyword in keywords if keyword.arg != "description"]
        self._fields(node, scope, keywords=keywords)

    def _raise(self, node: ast.Raise, scope: _Scope) -> None:
        """Write the class of an exception without its arguments: a message changes no number."""
        self._fields(node, scope, exc=node.exc.func if isinstance(node.exc, ast.Call) else node.exc, cause=None)

    def _assert(self, node: ast.Assert, scope: _Scope) -> None:
        self._fields(node, scope, msg=None)

    def _annotated(self, node: ast.AnnAssign, scope: _Scope) -> None:
        """Write an assignment; keep its annotation in a class, where pydantic and dataclasses read it."""
        plain = ast.Assign([node.target], node.value or ast.Constant(None))
        self._fields(node if scope.is_class else plain, scope)

    def _argument(self, node: ast.arg, scope: _Scope) -> None:
        self.words.append(f"named {node.arg}")

    def _binding(self, node: Any, scope: _Scope) -> None:
        """Write an `except` or a pattern, with the name that it may bind."""
        field = "rest" if isinstance(node, ast.MatchMapping) else "name"
        name = getattr(node, field)
        self._fields(node, scope, **{field: name and ast.Name(name, ast.Load())})

    def _import(self, node: ast.Import | ast.ImportFrom, scope: _Scope) -> None:
        """Write an import of a name that other statements bind, too."""
        for name, imported in names_in([node]).items():
            self._name(name, scope)
            self._refer(*self._module.package.find(imported.split(".")), node)

    def _function(self, node: Any, scope: _Scope) -> None:
        self.words.append(type(node).__name__)
        if isinstance(node, ast.Lambda):
            body: list[Any] = [node.body]
        else:
            body = node.body
            self._name(node.name, scope)
            self._decorators(node, scope)
        self.write(node.args, scope)
        arguments = (each.arg for each in ast.iter_child_nodes(node.args) if isinstance(each, ast.arg))
        inner = _Scope(names_in(body) | dict.fromkeys(arguments, ARGUMENT), scope, {})
        self._fields(ast.Module(body, []), inner)

    def _class(self, node: ast.ClassDef, scope: _Scope) -> None:
        self.words.append("ClassDef")
        self._name(node.name, scope)
        self._decorators(node, scope)
        self.write([*node.bases, *node.keywords], scope)
        self._fields(ast.Module(node.body, []), _Scope(names_in(node.body), scope, {}, is_class=True))

    def _decorators(self, node: Any, scope: _Scope) -> None:
        for decorator in node.decorator_list:
            if not self._is_marked(decorator.func if isinstance(decorator, ast.Call) else decorator, scope):
                self.write(decorator, scope)

    def _comprehension(self, node: Any, scope: _Scope) -> None:
        targets = names_in([each.target for each in node.generators])
        first, *others = node.generators
        self.write(first.iter, scope)  # the only part that Python evaluates in the enclosing scope
        rest = ast.comprehension(first.target, ast.Constant(None), first.ifs, first.is_async)
        self._fields(node, _Scope(targets, scope, {}), generators=[rest, *others])

    def _found(self, node: ast.expr, scope: _Scope) -> tuple[Definition | Module | None, list[str]]:
        """Resolve an expression as `Package.find` does; (None, []) if it begins with a local variable."""
        words = dotted_name(node)
        if not words:
            return None, []
        holder = self._holder(words[0], scope)
        if holder is TOP:
            return self._module.find(words)
        how = holder.names[words[0]]
        return self._module.package.find([*how.split("."), *words[1:]]) if isinstance(how, Imported) else (None, [])

    def _holder(self, name: str, scope: _Scope) -> _Scope:
        """Return the scope that binds a name; TOP if the top level or no scope binds it."""
        around: _Scope | None = scope
        while around is not None:
            # A function does not see the names of its enclosing class.
            if name in around.names and (around is scope or not around.is_class) and around.names[name] != NONLOCAL:
                return TOP if around.names[name] == GLOBAL else around
            around = around.around
        return TOP

    def _is_marked(self, node: ast.expr, scope: _Scope) -> bool:
        found, _ = self._found(node, scope)
        return not self._documented and isinstance(found, Definition) and found.is_marked

    def _check_change(self, node: ast.expr, scope: _Scope) -> None:
        """Report a change of a module's object: definitions that read the object do not reach the assignment."""
        base = node
        while isinstance(base, (ast.Attribute, ast.Subscript)):
            base = base.value
        if base is not node and isinstance(base, ast.Name) and self._found(base, scope)[0] is not None:
            self._cannot_follow(node, f"it changes {base.id}")

    def _cannot_follow(self, node: ast.AST, why: str) -> None:
        self.unfollowed.append(Unfollowed(getattr(node, "lineno", 0), why))


SPECIAL: dict[type[ast.AST], Callable[[_Writer, Any, _Scope], None]] = {
    ast.Constant: _Writer._constant,
    ast.JoinedStr: _Writer._text,
    **dict.fromkeys((ast.Name, ast.Attribute, ast.Subscript), _Writer._reference),
    ast.Call: _Writer._call,
    ast.Raise: _Writer._raise,
    ast.Assert: _Writer._assert,
    ast.AnnAssign: _Writer._annotated,
    ast.arg: _Writer._argument,
    **dict.fromkeys((ast.ExceptHandler, ast.MatchAs, ast.MatchStar, ast.MatchMapping), _Writer._binding),
    **dict.fromkeys((ast.Import, ast.ImportFrom), _Writer._import),
    **dict.fromkeys((ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda), _Writer._function),
    ast.ClassDef: _Writer._class,
    **dict.fromkeys((ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp), _Writer._comprehension),
}


def _cpp_digest(path: Path) -> str:
    """Return the digest of a C++ file without its comments and its layout."""
    lines = [line.partition("//")[0].split() for line in path.read_text(encoding="utf-8").splitlines()]
    return digest([word for line in lines for word in line])
