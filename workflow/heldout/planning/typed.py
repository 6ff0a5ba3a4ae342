"""Converts the values of an experiment to the types that their keys require.

This is the only such conversion, for the settings and for the parameters of every plug-in. The types come from the JSON
schemas. pydantic and jsonschema check ranges, patterns and alternatives afterwards.
"""

import math
import re
import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from heldout.errors import HeldoutError
from heldout.planning import schema
from heldout.planning.experiment_file import Plain, scalar

LARGEST = 10_000_000  # of an integer whose schema has no maximum
LONGEST = 1000  # characters of a name or path

_DECIMAL = re.compile(r"[-+]?((0|[1-9][0-9]{0,39})(\.[0-9]{0,99})?|\.[0-9]{1,99})([eE][-+]?[0-9]{1,3})?")
_TRUTH = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_NAME = {"type": "string"}
_NAMES = {"type": "array", "items": _NAME}


def typed(value: Any, rule: Any, where: str) -> Any:
    """Convert a value to the type that its key requires; values of other types are unchanged, for the later checks.

    Args:
        value: from an experiment file, or from Python.
        rule: the JSON schema of the key.
        where: file and key, for messages.

    Raises:
        HeldoutError: a number or a truth value without quotes in place of a name, a truth value in place of a number,
            or a number that is not decimal, not finite or too large.
    """
    if not isinstance(rule, Mapping):
        return value
    options = rule.get("anyOf", [rule])
    types = {option.get("type") for option in options}
    if isinstance(value, Mapping):
        return _entries(value, options, where)
    if isinstance(value, list):
        items = next((option.get("items") for option in options if option.get("type") == "array"), None)
        return [typed(each, items, f"{where}.{index}") for index, each in enumerate(value)]
    is_name = any(option.get("type") == "string" and not option.keys() & {"enum", "const"} for option in options)
    is_number = bool(types & {"integer", "number"})
    if value is None:
        return _nothing(types, is_name, where)
    if isinstance(value, bool) or (isinstance(value, Plain) and value.lower() in _TRUTH):
        return _truth(value, types, is_name, is_number, where)
    if is_name:
        return _name(value, types, where)
    if is_number:
        return _number(value, options, types, where)
    if isinstance(value, str) and len(value) > LONGEST:
        raise HeldoutError(f"{where}: {len(value)} characters are too many")
    return value


def named(given: dict[str, Any], where: str) -> dict[str, Any]:
    """Return an entry after reading the keys that name a plug-in, a rule or other entries."""
    names = {key: given[key] for key in (*schema.NAMED, *schema.STRUCTURE) if key in given}
    rules = {key: _NAMES if isinstance(value, list) else _NAME for key, value in names.items()}
    return given | {key: typed(value, rules[key], f"{where}.{key}") for key, value in names.items()}


def is_word(name: str) -> bool:
    """Whether every YAML reader reads a name without quotes as text."""
    return type(scalar(name)) is str


def _entries(value: Mapping[str, Any], options: list[Any], where: str) -> dict[str, Any]:
    rules = [option for option in options if option.get("type") == "object"]
    inner = next((rule.get("additionalProperties") for rule in rules), None)
    return {key: typed(each, inner, f"{where}.{key}") for key, each in value.items()}


def _nothing(types: set[Any], is_name: bool, where: str) -> None:
    if "null" not in types and types <= {"string", "integer", "number", "boolean"}:
        quoted = '; the name null needs quotes: "null"' if is_name else ""
        raise HeldoutError(f"{where}: expected a value, but it is null or empty{quoted}")


def _truth(value: bool | str, types: set[Any], is_name: bool, is_number: bool, where: str) -> Any:
    text = str(value).lower() if isinstance(value, bool) else value
    if "boolean" in types:
        return _TRUTH[text.lower()]
    if is_name:
        raise HeldoutError(f'{where}: {text} without quotes is true or false in YAML; for the name write "{text}"')
    if is_number:
        raise HeldoutError(f"{where}: expected a number, but {text} is true or false in YAML")
    return value


def _name(value: Any, types: set[Any], where: str) -> Any:
    if type(value) is int and "integer" in types:
        return value
    if isinstance(value, (int, float, Plain)):
        raise HeldoutError(
            f'{where}: {value} without quotes is a number or a date in YAML; for the name write "{value}"'
        )
    if isinstance(value, str):
        if not value.strip():
            raise HeldoutError(f"{where}: expected a name or a path, but it is empty")
        if len(value) > LONGEST:
            raise HeldoutError(f"{where}: {len(value)} characters are too many for a name or a path")
        if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in value):
            raise HeldoutError(f"{where}: {value!r} contains a control character")
    return value


def _number(value: Any, options: list[Any], types: set[Any], where: str) -> Any:
    """Return an int or a float; a word that does not resemble a number is unchanged."""
    if isinstance(value, str):
        text = value.strip()
        if not _DECIMAL.fullmatch(text):
            if isinstance(value, Plain):
                raise HeldoutError(f"{where}: {value} is not a finite decimal number such as 12, 0.5 or 1e-3")
            return value
        exact = Decimal(text)
    elif isinstance(value, float) and not math.isfinite(value):
        raise HeldoutError(f"{where}: {value} is not a number")
    elif isinstance(value, (int, float)):
        exact = Decimal(value)
    else:
        return value
    if "number" in types:
        return _finite(exact, where)
    if exact != exact.to_integral_value():
        raise HeldoutError(f"{where}: {value} is not of type 'integer'")
    return _bounded(exact, options, where)


def _finite(exact: Decimal, where: str) -> float:
    found = float(exact)  # inf beyond the largest one
    if not math.isfinite(found) or (found == 0 and exact != 0):
        raise HeldoutError(f"{where}: {exact} is too {'small' if found == 0 else 'large'} for double precision")
    return found


def _bounded(exact: Decimal, options: list[Any], where: str) -> int:
    bound = max(option.get("maximum", LARGEST) for option in options if option.get("type") == "integer")
    if exact > bound or exact < -LARGEST:
        limit = f"more than {bound}, the largest" if exact > bound else f"less than {-LARGEST}, the smallest"
        raise HeldoutError(f"{where}: {exact} is {limit} allowed number")
    return int(exact)
