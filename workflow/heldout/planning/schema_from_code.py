"""Generates `schema.json` from `experiment.py` and the plug-ins, for `heldout schema`."""

import json
from typing import Any

from heldout import registry
from heldout.planning import identity, schema
from heldout.planning.experiment import Settings


def generate() -> dict[str, Any]:
    """Return the schema of the current code; imports every plug-in."""
    whole = Settings.model_json_schema()
    whole["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    entries = whole.setdefault("$defs", {})
    plugins: dict[str, dict[str, Any]] = {kind: {} for kind in registry.KINDS}
    for kind in registry.KINDS:
        for name in registry.names(kind):
            found = schema.describe(kind, name)
            plugins[kind][name] = {"source": identity.description_digest(kind, name), **found.facts}
            if found.entry:
                entries[f"{kind}.{name}"] = found.entry
    for kind in schema.NAMED:
        section = whole["properties"][f"{kind}s"]
        names = section.pop("patternProperties")  # a pattern would exempt matching entries from `additionalProperties`
        section["propertyNames"] = {"pattern": next(iter(names))}
        section.update(_variants(kind, list(plugins[kind])))
    _add_combinations(whole["properties"]["methods"], list(plugins["combination"]))
    whole["properties"]["figures"]["items"]["enum"] = list(plugins["figure"])
    whole[schema.PLUGINS] = plugins
    return whole


def _add_combinations(methods: dict[str, Any], names: list[str]) -> None:
    """Allow combinations as entries of `methods`; the default rule needs no `by`."""
    needed: dict[str, list[str]] = {name: [] if name == schema.DEFAULT_RULE else ["by"] for name in names}
    variants = [(name, {"allOf": [{"$ref": f"#/$defs/combination.{name}"}]}) for name in names]
    methods["properties"][schema.COMBINE] = {"oneOf": [each | {"required": needed[name]} for name, each in variants]}
    methods["additionalProperties"]["oneOf"] += [
        each | {"required": ["method", *needed[name]]} for name, each in variants
    ]


def text() -> str:
    return json.dumps(generate(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _variants(kind: str, names: list[str]) -> dict[str, Any]:
    references = {name: {"$ref": f"#/$defs/{kind}.{name}"} for name in names}
    variants = [{"allOf": [reference], "required": [kind]} for reference in references.values()]
    own = {name: {"anyOf": [reference, {"type": "null"}]} for name, reference in references.items()}
    return {"properties": own, "additionalProperties": {"oneOf": variants}}
