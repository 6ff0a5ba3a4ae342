"""What the plan knows of every plug-in without importing it: `workflow/schema/config.schema.json`.

The file is generated (`heldout schema`) from `config.py` and the plug-ins, kept equal by a test, and doubles as a JSON
schema of experiment files for editors. It stores a hash of each plug-in's file, so that a stale one is noticed.
"""

import inspect
import json
import sys
from functools import cache
from typing import Any

from heldout import identity, registry
from heldout.errors import HeldoutError

PATH = identity.PACKAGE.parent / "schema" / "config.schema.json"
RENEW = "heldout schema"
PLUGINS = "x-plugins"
NAMED = ("dataset", "model", "method")  # the kinds that an experiment file names


def generate() -> dict[str, Any]:
    """Return the schema of today's code; imports every plug-in."""
    from heldout.config import Experiment

    schema = Experiment.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    definitions = schema.setdefault("$defs", {})
    plugins: dict[str, dict[str, Any]] = {kind: {} for kind in registry.KINDS}
    for kind in registry.KINDS:
        for name in registry.names(kind):
            entry = registry.load(kind, name)
            plugins[kind][name] = {"source": _plugin_digest(kind, name), **_paper(entry.plugin), **entry.facts}
            if entry.params is not None:
                definitions[f"{kind}.{name}"] = _parameters(kind, name, entry.params)
    for kind in NAMED:
        entries = schema["properties"][f"{kind}s"]
        names = entries.pop("patternProperties")  # a pattern would exempt an entry from `additionalProperties`
        entries["propertyNames"] = {"pattern": next(iter(names))}
        entries.update(_entries(kind, list(plugins[kind])))
    schema[PLUGINS] = plugins
    return schema


def text() -> str:
    return json.dumps(generate(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


@cache
def stored() -> dict[str, Any]:
    """Return the schema on disk.

    Raises:
        HeldoutError: it is missing, or older than a plug-in's file.
    """
    try:
        schema = json.loads(PATH.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise HeldoutError(f"{PATH.name} cannot be read ({error}); renew it with: {RENEW}") from error
    for kind in registry.KINDS:
        known = schema[PLUGINS].get(kind, {})
        for name in sorted({*known, *registry.names(kind)}):
            if name not in known or name not in registry.names(kind):
                change = "is not in" if name not in known else "is gone, but still in"
                raise HeldoutError(f"the {kind} {name!r} {change} {PATH.name}; renew it with: {RENEW}")
            if known[name]["source"] != _plugin_digest(kind, name):
                raise HeldoutError(f"{kind}s/{name}.py is newer than {PATH.name}; renew it with: {RENEW}")
    return schema


def plugins(kind: str) -> dict[str, Any]:
    """Return what is stored of every plug-in of a kind, by name."""
    return stored()[PLUGINS][kind]


def parameters(kind: str, name: str) -> dict[str, Any]:
    """Return the JSON schemas of a plug-in's parameters, by name."""
    properties = stored()["$defs"][f"{kind}.{name}"]["properties"]
    return {key: rule for key, rule in properties.items() if key not in NAMED}


def _plugin_digest(kind: str, name: str) -> str:
    return identity.file_digest(identity.module_file(f"{registry.KINDS[kind]}.{name}"))


def _parameters(kind: str, name: str, params: type[registry.Params]) -> dict[str, Any]:
    schema = params.model_json_schema()
    properties = {**schema["properties"], kind: {"const": name}}
    if kind == "method":
        properties["model"] = {"type": "string", "description": "the entry of `models` that it reads"}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _entries(kind: str, names: list[str]) -> dict[str, Any]:
    references = {name: {"$ref": f"#/$defs/{kind}.{name}"} for name in names}
    variants = [{"allOf": [reference], "required": [kind]} for reference in references.values()]
    own = {name: {"anyOf": [reference, {"type": "null"}]} for name, reference in references.items()}
    return {"properties": own, "additionalProperties": {"oneOf": variants}}


def _paper(plugin: Any) -> dict[str, str]:
    documentation = inspect.cleandoc(sys.modules[plugin.__module__].__doc__)
    source = documentation.partition("Source: ")[2].partition("\n\n")[0].partition("\nDeviations:")[0]
    return {"summary": documentation.partition("\n")[0], "paper": " ".join(source.split())}
