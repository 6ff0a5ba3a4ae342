"""Generate the stored schema from `experiment.py` and the plug-ins: what `heldout schema` writes."""

import inspect
import json
import sys
from typing import Any

from heldout import registry
from heldout.planning.experiment import Settings
from heldout.planning.schema import NAMED, PLUGINS, SHARED, plugin_digest, shared_digest
from heldout.planning.split_settings import SplitSettings


def generate() -> dict[str, Any]:
    """Return the schema of today's code; imports every plug-in."""
    schema = Settings.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    definitions = schema.setdefault("$defs", {})
    plugins: dict[str, dict[str, Any]] = {kind: {} for kind in registry.KINDS}
    for kind in registry.KINDS:
        for name in registry.names(kind):
            entry = registry.load(kind, name)
            plugins[kind][name] = {
                "source": plugin_digest(kind, name),
                "summary": _summary(entry.plugin),
                **entry.facts,
            }
            if entry.params is not None:
                definitions[f"{kind}.{name}"] = _parameters(kind, name, entry.params)
    for kind in NAMED:
        entries = schema["properties"][f"{kind}s"]
        names = entries.pop("patternProperties")  # a pattern would exempt an entry from `additionalProperties`
        entries["propertyNames"] = {"pattern": next(iter(names))}
        entries.update(_entries(kind, list(plugins[kind])))
    schema["properties"]["figures"]["items"]["enum"] = list(plugins["figure"])
    schema[PLUGINS] = plugins
    schema[SHARED] = {
        module: shared_digest(module)
        for module in ("registry", "models", "planning.experiment", "planning.split_settings", "numerics.features")
    }
    return schema


def text() -> str:
    return json.dumps(generate(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _parameters(kind: str, name: str, params: type[registry.Params]) -> dict[str, Any]:
    schema = params.model_json_schema()
    properties = {**schema["properties"], kind: {"const": name}}
    reads = registry.load(kind, name).facts.get("reads", [])
    if kind == "dataset":
        properties |= SplitSettings.model_json_schema()["properties"]
    if reads == ["scores"]:
        properties["of"] = {
            "type": "array",
            "items": {"type": "string"},
            "description": "entries whose scores it joins",
        }
    elif kind == "method":
        properties["model"] = {"type": "string", "description": "the entry of `models` that it reads"}
    elif kind == "model" and reads:
        properties["parent"] = {"type": "string", "description": "the entry of `models` on which it is trained"}
    required = {"required": schema["required"]} if "required" in schema else {}
    return {"type": "object", "additionalProperties": False, "properties": properties, **required}


def _entries(kind: str, names: list[str]) -> dict[str, Any]:
    references = {name: {"$ref": f"#/$defs/{kind}.{name}"} for name in names}
    variants = [{"allOf": [reference], "required": [kind]} for reference in references.values()]
    own = {name: {"anyOf": [reference, {"type": "null"}]} for name, reference in references.items()}
    return {"properties": own, "additionalProperties": {"oneOf": variants}}


def _summary(plugin: Any) -> str:
    """Return the first line of a plug-in's file."""
    return inspect.cleandoc(sys.modules[plugin.__module__].__doc__ or "").partition("\n")[0]
