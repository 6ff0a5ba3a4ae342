"""What the plan knows of every plug-in without importing it: `workflow/schema/config.schema.json`.

The file is generated (`schema_from_code.py`), kept equal by a test, and doubles as a JSON schema of experiment files
for editors. It stores a hash of each plug-in's file, so that a stale one is noticed.
"""

import json
from functools import cache
from typing import Any

from heldout import registry
from heldout.errors import HeldoutError
from heldout.planning import identity
from heldout.planning.split_settings import SplitSettings

PATH = registry.PACKAGE.parent / "schema" / "config.schema.json"
RENEW = "heldout schema"
PLUGINS = "x-plugins"
SHARED = "x-shared"  # modules that shape every plug-in's parameters, with their digests
NAMED = ("dataset", "model", "method")  # the kinds that an experiment file names
STRUCTURE = ("model", "of", "parent")  # keys of an entry that name other entries


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
    for module, source in schema[SHARED].items():
        if source != shared_digest(module):
            raise HeldoutError(f"{module}.py is newer than {PATH.name}; renew it with: {RENEW}")
    for kind in registry.KINDS:
        known = schema[PLUGINS].get(kind, {})
        for name in sorted({*known, *registry.names(kind)}):
            if name not in known or name not in registry.names(kind):
                change = "is not in" if name not in known else "is gone, but still in"
                raise HeldoutError(f"the {kind} {name!r} {change} {PATH.name}; renew it with: {RENEW}")
            if known[name]["source"] != plugin_digest(kind, name):
                raise HeldoutError(f"{kind}s/{name}.py is newer than {PATH.name}; renew it with: {RENEW}")
    return schema


def plugins(kind: str) -> dict[str, Any]:
    """Return what is stored of every plug-in of a kind, by name."""
    return stored()[PLUGINS][kind]


def parameters(kind: str, name: str) -> dict[str, Any]:
    """Return the JSON schemas of a plug-in's parameters, by name."""
    properties = stored()["$defs"][f"{kind}.{name}"]["properties"]
    others = (*NAMED, *STRUCTURE, *SplitSettings.model_fields)
    return {key: rule for key, rule in properties.items() if key not in others}


def structure(kind: str, name: str) -> list[str]:
    """Return the keys by which an entry of this plug-in may name other entries: `model`, `of`, or `parent`."""
    return [key for key in STRUCTURE if key in stored()["$defs"][f"{kind}.{name}"]["properties"] and key != kind]


def facts(kind: str, name: str, params: dict[str, Any]) -> dict[str, Any]:
    """Return what is stored of a plug-in, with what these values of its parameters ask for in addition."""
    found = {"weights": None, "supervision": "", "network": False, **plugins(kind)[name]}
    for condition, more in found.get("when", {}).items():
        parameter, _, value = condition.partition("=")
        if str(params[parameter]) == value:
            found |= {**more, "reads": found["reads"] + [*more.get("reads", [])]}
    return found


def plugin_digest(kind: str, name: str) -> str:
    """Return the digest of a plug-in's own file, by which a stale schema is noticed."""
    return identity.file_digest(identity.module_file(f"{registry.KINDS[kind]}.{name}"))


def shared_digest(module: str) -> str:
    """Return the digest of a module that shapes every plug-in's parameters."""
    return identity.file_digest(identity.module_file(f"heldout.{module}"))
