"""The source in a file's digest: every definition that shapes its numbers, found from the roots listed here."""

import ast
from pathlib import Path

from heldout import shapes_no_number
from heldout.errors import HeldoutError
from heldout.planning.definitions import Definition, Package
from heldout.planning.digest_cache import DigestCache
from heldout.planning.written import digest_of

PACKAGE = Package(Path(__file__).resolve().parents[1])
CACHE = DigestCache(PACKAGE.folder)

# The kind of plug-in that a step runs: the registered class or function is a root, and so is its parameter class.
PLUGINS = {"prepare": "dataset", "train": "model", "score": "method", "combine": "combination", "draw": "figure"}
# The other roots of each step: the code that runs with any plug-in.
ROOTS = {
    "prepare": ("stages.prepare:prepare",),
    "split": ("stages.split:split",),
    "train": (
        "numerics.training_steps:Training",
        "numerics.determinism:reproducible",
        "stages.train:_Job",
        "storage.prepared:part_of",
        "storage.checkpoints:write",
    ),
    "score": (
        "numerics.scoring_steps:score",
        "numerics.determinism:reproducible",
        "stages.score:_prepared",
        "storage.prepared:part_of",
        "storage.score_files:write_scores",
    ),
    "combine": ("stages.combine:combine", "numerics.determinism:reproducible", "storage.score_files:write_scores"),
    "evaluate": ("evaluation.evaluate:evaluate",),
    "tables": ("evaluation.tables:write_tables",),
    "draw": ("figures._drawing:draw",),
}


def source_digest(step: str, plugin: str = "") -> str:
    """Return the digest of the source code that determines the content of a step's files.

    Args:
        step: a key of ROOTS.
        plugin: the registered name of the plug-in, if the step is in PLUGINS.
    """
    return CACHE.get(f"{step} {plugin}", lambda: digest_of(roots(step, plugin)))


def roots(step: str, plugin: str = "", package: Package = PACKAGE) -> list[Definition]:
    """Return the root definitions of a step; files are parsed, not imported."""
    found = [package.definition(root) for root in ROOTS[step]]
    if step in PLUGINS:
        registered, _ = registration(PLUGINS[step], plugin, package)
        found += [registered, *parameters(registered)]
    return found


def registration(kind: str, name: str, package: Package = PACKAGE) -> tuple[Definition, ast.expr]:
    """Return the class or function that a plug-in's file registers, and its decorator."""
    module = package.module(f"{package.top}.{kind}s.{name}")
    assert module is not None, f"there is no {kind}s/{name}.py"
    by = package.definition(f"registry:{'weights' if kind == 'weight' else kind}")
    for found in module.bound.values():
        if isinstance(found, Definition) and by in (decorators := module.decorators(found.statements[-1])):
            return found, decorators[by]
    raise HeldoutError(f"{module.path} registers no {kind}: it needs a class or a function under @registry.{kind}")


def parameters(registered: Definition) -> list[Definition]:
    """Return the class of a plug-in's parameters, the type of its argument `params`; empty if it has none."""
    (statement,) = registered.statements
    for method in getattr(statement, "body", ()):
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            given = [argument.annotation for argument in method.args.args if argument.arg == "params"]
            return [found for annotation in given if (found := registered.module.definition(annotation))]
    return []


@shapes_no_number
def check_source(planned: str, step: str, plugin: str = "") -> None:
    """Raise HeldoutError if the source changed after a job was planned: its file would have a wrong name."""
    if source_digest(step, plugin) != planned:
        raise HeldoutError(f"the code of {plugin or step} has changed since this job was planned; run snakemake again")


def description_digest(kind: str, name: str) -> str:
    """Return the digest of the source of a plug-in's description: registration, parameters and documentation."""

    def find() -> str:
        registered, decorator = registration(kind, name)
        summary = (ast.get_docstring(registered.module.tree) or "").partition("\n")[0]
        stated = Definition(registered.module, [], [ast.Expr(decorator), ast.Expr(ast.Constant(summary))])
        described = PACKAGE.definition("planning.schema:describe")
        return digest_of([stated, *parameters(registered), described], documented=True)

    return CACHE.get(f"description of {kind} {name}", find)
