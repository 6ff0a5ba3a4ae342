"""Descriptions of the plug-ins for planning, read from `schema.json`, which `heldout schema` generates.

Each description is stored with a digest of its source. A plug-in that is new or has changed is imported and described
from its code. The file is also a JSON schema of experiment files, for editors.
"""

import inspect
import json
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from heldout import registry
from heldout.planning import identity
from heldout.planning.split_settings import SplitSettings

PATH = Path(__file__).with_suffix(".json")
RENEW = "heldout schema"
COMBINE, DEFAULT_RULE = "combine", "zscore"  # `method: combine` names a combination by `by`
PLUGINS = "x-plugins"
NAMED = ("dataset", "model", "method")  # the kinds that an experiment file names
STRUCTURE = ("model", "by", "of", "parent")  # keys that name other entries or a rule


class Description(NamedTuple):
    """The facts of a plug-in's registration with its summary, and the JSON schema of its entry."""

    facts: dict[str, Any]
    entry: dict[str, Any]


class _Plugins(Mapping[str, dict[str, Any]]):
    """The facts of a kind's plug-ins by name, each read on first access."""

    def __init__(self, kind: str) -> None:
        self._kind, self._names = kind, registry.names(kind)

    def __getitem__(self, name: str) -> dict[str, Any]:
        if name not in self._names:
            raise KeyError(name)
        return description(self._kind, name).facts

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@cache
def plugins(kind: str) -> Mapping[str, dict[str, Any]]:
    """Return the facts of every plug-in of a kind, by name."""
    return _Plugins(kind)


@cache
def description(kind: str, name: str) -> Description:
    """Return a plug-in's stored description or, if its source has changed, one from its code."""
    stored = _stored()
    facts = stored[PLUGINS].get(kind, {}).get(name)
    if facts and facts["source"] == identity.description_digest(kind, name):
        return Description(facts, stored["$defs"].get(f"{kind}.{name}", {}))
    why = f"has no current description in {PATH.name}, so it is imported"
    print(f"{kind}s/{name}.py {why}; renew with: {RENEW}", file=sys.stderr)
    return describe(kind, name)


@cache
def _stored() -> dict[str, Any]:
    try:
        return json.loads(PATH.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {PLUGINS: {}, "$defs": {}}


def describe(kind: str, name: str) -> Description:
    """Import a plug-in and return its description."""
    entry = registry.load(kind, name)
    summary = inspect.cleandoc(sys.modules[entry.plugin.__module__].__doc__ or "").partition("\n")[0]
    facts = {"summary": summary, **entry.facts}
    return Description(facts, {} if entry.params is None else _entry(kind, name, entry.params, entry.facts))


def _entry(kind: str, name: str, params: type[registry.Params], facts: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON schema of an entry of `datasets`, `models` or `methods` that uses this plug-in."""
    schema = params.model_json_schema()
    by = {"const": name, "description": "the rule that combines"}
    named = {"method": {"const": COMBINE}, "by": by} if kind == "combination" else {kind: {"const": name}}
    properties = {**schema["properties"], **named}
    reads = facts.get("reads", [])
    if kind == "dataset":
        properties |= SplitSettings.model_json_schema()["properties"]
    if kind == "combination":
        listed = {"type": "array", "items": {"type": "string"}}
        properties["of"] = listed | {"description": "entries whose scores it combines, or `entry:component`"}
    elif kind == "method" and _reads_a_model(facts):
        properties["model"] = {"type": "string", "description": "the entry of `models` that it reads"}
    elif kind == "model" and reads:
        properties["parent"] = {"type": "string", "description": "the entry of `models` on which it is trained"}
    required = {"required": schema["required"]} if "required" in schema else {}
    return {"type": "object", "additionalProperties": False, "properties": properties, **required}


def _reads_a_model(facts: dict[str, Any]) -> bool:
    """Return whether a method reads parts of a model, at least for some values of its parameters."""
    return facts["reads"] != ["images"] or any("reads" in more for more in facts["when"].values())


def parameters(kind: str, name: str) -> dict[str, Any]:
    """Return the JSON schemas of a plug-in's parameters, by name."""
    others = (*NAMED, *STRUCTURE, *SplitSettings.model_fields)
    properties = description(kind, name).entry["properties"]
    return {key: rule for key, rule in properties.items() if key not in others}


def structure(kind: str, name: str) -> dict[str, Any]:
    """Return the JSON schemas of the keys in STRUCTURE that an entry of this plug-in may have."""
    properties = description(kind, name).entry["properties"]
    return {key: properties[key] for key in STRUCTURE if key in properties and key != kind}


def facts(kind: str, name: str, params: dict[str, Any]) -> dict[str, Any]:
    """Return the facts of a plug-in, including those that depend on its parameters' values (`when`)."""
    found = {"weights": None, "supervision": "", "network": False, **plugins(kind)[name]}
    for condition, more in found.get("when", {}).items():
        parameter, _, value = condition.partition("=")
        if str(params[parameter]) == value:
            found |= {**more, "reads": found["reads"] + [*more.get("reads", [])]}
    return found
