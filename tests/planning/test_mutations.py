"""Each operator and constant of what computes, changed in turn, moves a digest, or is of a kind that moves none."""

import ast
from collections.abc import Iterator

from heldout.planning import identity
from heldout.planning.definitions import Definition, Package
from heldout.planning.identity import PACKAGE
from heldout.planning.written import reached, written
from tests.planning.test_identity import SOURCES

FOLDERS = ("combinations", "datasets", "methods", "models", "networks", "numerics", "search")
# What no source reaches, and why it shapes no number.
TYPE = "a type, for annotations alone"
PLACE = "where files are fetched from; what they are, their checksums say"
UNREACHED = {
    "heldout.combinations._classifying:SUPERVISION": "a registration, which reaches the spec",
    "heldout.datasets:Dataset": TYPE,
    "heldout.datasets:Download": PLACE,
    "heldout.datasets:Installed": PLACE,
    "heldout.datasets:Source": TYPE,
    "heldout.datasets.cifar10:FOLDER": PLACE,
    "heldout.datasets.fashion_mnist:PACKED_AT": PLACE,
    "heldout.datasets.fashion_mnist:STRIPPED_HEADER,NAMED": PLACE,
    "heldout.datasets.fashion_mnist:restored": PLACE,
    "heldout.datasets.image_folder:_report_unread": "lines in the log",
    "heldout.datasets.lsun:ADDRESS": PLACE,
    "heldout.methods._features:PCA_MEANING": "a description",
    "heldout.methods._features:WHEN": "a registration, which reaches the spec",
    "heldout.methods.adgan:Prepared": TYPE,
    "heldout.models:Stateful": TYPE,
    "heldout.search.private_weights:Loss": TYPE,
    "heldout.search.private_weights:Statistics": TYPE,
    "heldout.search.private_weights:Weights": TYPE,
}
# What is called with anything and shapes no number.
UNCOUNTED = {
    "registry.load": "of published weights: which they are, their checksum in the spec says",
}

OTHER = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
    ast.MatMult: ast.Mult,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.USub: ast.UAdd,
    ast.Not: ast.USub,
    ast.Invert: ast.USub,
}


def mutations(node: ast.AST) -> Iterator[tuple[ast.AST, str, object, object]]:
    """Yield node, field, index and another value for each operator and constant below."""
    for parent in ast.walk(node):
        for field, value in ast.iter_fields(parent):
            for index, item in enumerate(value if isinstance(value, list) else [value]):
                if type(item) in OTHER:
                    yield parent, field, index, OTHER[type(item)]()
                if isinstance(item, ast.Constant):
                    other = not item.value if isinstance(item.value, bool) else f"{item.value}" + "1"
                    yield parent, field, index, ast.Constant(other)


def uncounted(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what is documentation, a message, an annotation or a registration, and all that lies in it."""
    for each in ast.walk(node):
        parts: list[ast.AST | None] = []
        match each:
            case ast.Expr(ast.Constant()):
                parts = [each]
            case ast.Raise(ast.Call(_, arguments)):
                parts = [*arguments, each.cause]
            case ast.Assert():
                parts = [each.msg]
            case ast.Call(function) if ast.unparse(function) in UNCOUNTED:
                parts = [each]
            case ast.FunctionDef():
                arguments = [argument for argument in ast.walk(each.args) if isinstance(argument, ast.arg)]
                assigned = [local for local in ast.walk(each) if isinstance(local, ast.AnnAssign)]
                parts = [each.returns, *(annotated.annotation for annotated in (*arguments, *assigned))]
            case ast.keyword(arg="description"):
                parts = [each]
        for decorator in getattr(each, "decorator_list", ()):
            if ast.unparse(decorator).startswith("registry."):
                parts.append(decorator)
        for part in parts:
            if part is not None:
                yield from ast.walk(part)


def test_every_operator_and_constant_counts():
    package = Package(PACKAGE.folder)  # of its own, since its syntax trees are changed
    counted = {definition for source in SOURCES for definition in reached(identity.roots(*source, package))}
    unmoved, unreached = [], []
    for path in (path for folder in FOLDERS for path in (PACKAGE.folder / folder).rglob("*.py")):
        if path.stem == "_template":
            continue
        words = (package.top, *path.relative_to(package.folder).with_suffix("").parts)
        module = package.module(".".join(words).removesuffix(".__init__"))
        definitions = {each for each in module.bound.values() if isinstance(each, Definition)}
        for definition in definitions & counted:
            unmoved += [f"{path}:{line}: {text}" for line, text in unmoved_in(definition)]
        unreached += [repr(definition) for definition in definitions - counted if not is_for_types(definition)]
    assert not unmoved, "changed, it moves no digest"
    assert set(unreached) == set(UNREACHED)


def is_for_types(definition: Definition) -> bool:
    """Whether it is imported where types are checked alone."""
    return all(isinstance(each, ast.If) and "TYPE_CHECKING" in ast.unparse(each.test) for each in definition.statements)


def unmoved_in(definition: Definition) -> list[tuple[int, str]]:
    before = written.__wrapped__(definition)[:2]
    found = []
    for statement in definition.statements:
        left_out = {id(node) for node in uncounted(statement)}
        for parent, field, index, other in mutations(statement):
            if id(parent) in left_out:
                continue
            value = getattr(parent, field)
            item = value[index] if isinstance(value, list) else value
            if id(item) in left_out:
                continue
            put(parent, field, index, other)
            if written.__wrapped__(definition)[:2] == before:
                found.append((getattr(parent, "lineno", 0), ast.unparse(parent)))
            put(parent, field, index, item)
    return found


def put(parent, field, index, item):
    value = getattr(parent, field)
    if isinstance(value, list):
        value[index] = item
    else:
        setattr(parent, field, item)
