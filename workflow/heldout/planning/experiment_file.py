"""Reads experiment files: YAML, with no value on which its readers differ.

Readers of YAML differ on words without quotes: `yes` may be a word or true, `010` may be 8 or 10. Such a word stays as
it is written, as a `Plain`; `typed.py` reads it as the type that its place wants, or refuses it.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from heldout.errors import HeldoutError

QUICKSTART = "config.yaml"
LARGEST_FILE = 2**20  # bytes
DEEPEST = 20  # levels; an experiment has five
LONGEST_NUMBER = 100  # characters
MOST_VALUES = 10_000  # with aliases replaced by what they stand for

_DECIMAL = re.compile(r"-?(0|[1-9][0-9]{0,39})")
# The numbers of YAML 1.2; those of 1.1, truth values and dates are known to PyYAML.
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)(e[-+]?[0-9]+)?|0o[0-7]+|0x[0-9a-f]+|[-+]?\.?(inf|nan)", re.I)
_OLD = yaml.resolver.Resolver()
_WORD = "tag:yaml.org,2002:str"
_NULLS = ("", "~", "null", "Null", "NULL")
_MERGE = "<<"


class Plain(str):
    """A word without quotes that some reader of YAML takes for a number, a date or a truth value."""


def load(path: Path) -> dict[str, Any]:
    """Read an experiment file.

    Raises:
        HeldoutError: it is missing, not YAML in UTF-8, too large, or gives a key twice.
    """
    found = _Document(read(path), str(path)).value
    if not isinstance(found, dict):
        raise HeldoutError(f"{path} is not an experiment file: it needs keys and values, as in {QUICKSTART}")
    return found


def of_run(files: Sequence[Path | str], settings: Iterable[str]) -> tuple[dict[str, Any], str]:
    """Read the experiment of a Snakemake run, from its files themselves: Snakemake's own reader is not strict.

    Args:
        files: of `--configfile`, each merged into those before it; none: config.yaml.
        settings: of `--config`, each `KEY=VALUE` with the value in YAML.

    Returns:
        The experiment, and its place for messages.
    """
    config: dict[str, Any] = {}
    paths = [Path(os.path.relpath(path)) for path in files] or [Path(QUICKSTART)]
    for path in paths:
        config = merged(config, load(path))
    settings = list(settings)
    return overridden(config, settings), " with ".join([*map(str, paths), *(["--config"] if settings else [])])


def as_written(config: dict[str, Any], files: Sequence[Path | str], settings: Iterable[str]) -> dict[str, Any]:
    """Return the experiment that another workflow hands over, with its words as that workflow's own files have them.

    Files may hold the experiment as a whole or under one key. A value that is in none of them stays as it was given.

    Args:
        config: of a workflow that uses this one as a module.
        files, settings: as for `of_run`.
    """
    try:
        whole, _ = of_run(files, settings) if files else ({}, "")
    except HeldoutError:  # the files of another workflow need not be experiments
        return config
    parts = [part for part in (whole, *whole.values()) if isinstance(part, Mapping)]
    return {
        key: next((part[key] for part in parts if key in part and _agree(value, part[key])), value)
        for key, value in config.items()
    }


def _agree(value: Any, written: Any) -> bool:
    """Whether a value that Snakemake read may come from what is written."""
    if isinstance(written, dict):
        same = isinstance(value, Mapping) and value.keys() == written.keys()
        return same and all(_agree(value[key], written[key]) for key in written)
    if isinstance(written, list):
        same = isinstance(value, list) and len(value) == len(written)
        return same and all(map(_agree, value, written))
    try:
        read = yaml.safe_load(written) if isinstance(written, Plain) else written
    except (yaml.YAMLError, ValueError):  # such as the date 2020-13-45
        return False
    return type(value) is type(read) and value == read


def overridden(config: dict[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """Return the experiment with the settings of `--config`; `KEY=null` unsets a key.

    Raises:
        HeldoutError: a value is not YAML, or a key is given twice.
    """
    given = set()
    for setting in settings:
        key, _, text = setting.partition("=")
        if key in given:
            raise HeldoutError(f"--config gives {key} twice; keep one")
        given.add(key)
        value = _Document(text, f"--config {key}").value
        if value is None:
            config = {name: old for name, old in config.items() if name != key}
        else:
            config = merged(config, {key: value})
    return config


def merged(old: Any, new: Mapping[str, Any]) -> dict[str, Any]:
    """Return two experiments as one, as Snakemake merges them: a value of the second replaces that of the first."""
    found = dict(old) if isinstance(old, Mapping) else {}
    for key, value in new.items():
        found[key] = merged(found.get(key), value) if isinstance(value, Mapping) else value
    return found


def read(path: Path) -> str:
    """Return the text of an experiment file.

    Raises:
        HeldoutError: it cannot be read, is too large, or is not in UTF-8.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except FileNotFoundError as error:
        raise HeldoutError(f"there is no experiment file {path}") from error
    except (OSError, ValueError) as error:
        raise HeldoutError(f"{path} cannot be read ({getattr(error, 'strerror', None) or error})") from error
    if len(content) > LARGEST_FILE:
        raise HeldoutError(f"{path} is not an experiment file: it is larger than {LARGEST_FILE >> 20} MiB")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise HeldoutError(f"{path}, line {line}: it is not in UTF-8; save the file in that encoding") from error


def scalar(text: str) -> Any:
    """Return the value of a word without quotes: None, a bool, an int, a `Plain`, or a str that is only text."""
    if text in _NULLS:
        return None
    if text in ("true", "false"):
        return text == "true"
    if _DECIMAL.fullmatch(text):
        return int(text) if text != "-0" else Plain(text)
    is_word = _OLD.resolve(yaml.ScalarNode, text, (True, False)) == _WORD and not _NUMBER.fullmatch(text)
    return text if is_word else Plain(text)


class _Document:
    """The value of a text in YAML; the text is read event by event, so that no depth or size exhausts the memory."""

    def __init__(self, text: str, where: str) -> None:
        self.where = where
        self._events: Iterator[Any] = iter(yaml.parse(text, Loader=yaml.SafeLoader))
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._size = 0
        try:
            self.value = self._read()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            why = f"{error.context or ''} {error.problem or ''}".strip()
            raise self._error(mark, f"it is not YAML: {why}; put words with special characters into quotes") from error
        except yaml.YAMLError as error:
            raise HeldoutError(f"{where} is not YAML: {error}") from error

    def _read(self) -> Any:
        next(self._events)  # the stream begins
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        value = self._value(next(self._events), 0)
        next(self._events)  # the document ends
        following = next(self._events)
        if not isinstance(following, yaml.StreamEndEvent):
            raise self._error(
                following.start_mark, "a second document begins; an experiment file contains one document"
            )
        return value

    def _value(self, event: Any, depth: int) -> Any:
        mark, before = event.start_mark, self._size
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise self._error(mark, f"*{event.anchor} refers to no complete anchor before it")
            value, size = self._anchors[event.anchor]
            self._count(size, mark)
            return value
        self._count(1, mark)
        if depth > DEEPEST:
            raise self._error(mark, f"more than {DEEPEST} levels; an experiment has fewer")
        if event.tag not in (None, "!", _WORD):
            raise self._error(mark, f"{event.tag.replace('tag:yaml.org,2002:', '!!')} is not allowed in an experiment")
        if isinstance(event, yaml.ScalarEvent):
            value = scalar(event.value) if event.implicit[0] and event.tag is None else event.value
            if isinstance(value, Plain) and len(value) > LONGEST_NUMBER:
                raise self._error(mark, f"a number of {len(value)} characters")
        elif isinstance(event, yaml.SequenceStartEvent):
            value = [self._value(each, depth + 1) for each in self._until(yaml.SequenceEndEvent)]
        else:
            value = self._mapping(depth + 1)
        if event.anchor:
            self._anchors[event.anchor] = value, self._size - before
        return value

    def _mapping(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        inherited: Any = []
        lines: dict[str, int] = {}
        for event in self._until(yaml.MappingEndEvent):
            mark, key = event.start_mark, self._key(event)
            if key in lines:
                raise self._error(mark, f"the key {key!r} repeats that of line {lines[key]}; keep one")
            lines[key] = mark.line + 1
            value = self._value(next(self._events), depth)
            if key != _MERGE or event.style:
                found[key] = value
                continue
            inherited = value if isinstance(value, list) else [value]
            if not all(isinstance(each, dict) for each in inherited):
                raise self._error(mark, f"{_MERGE} needs another entry, as in {_MERGE}: *NAME")
        for other in inherited:
            found = {**other, **found}
        return found

    def _key(self, event: Any) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            raise self._error(event.start_mark, "a key must be a word")
        if event.tag not in (None, "!", _WORD) or event.anchor:
            raise self._error(event.start_mark, f"the key {event.value!r} must be a word, without a tag or an anchor")
        self._count(1, event.start_mark)
        key = scalar(event.value) if event.implicit[0] and event.value != _MERGE else event.value
        if not isinstance(key, str) or isinstance(key, Plain):
            raise self._error(
                event.start_mark, f'the key {event.value} without quotes is not a name in YAML; write "{event.value}"'
            )
        return key

    def _until(self, end: type) -> Iterator[Any]:
        while not isinstance(event := next(self._events), end):
            yield event

    def _count(self, values: int, mark: Any) -> None:
        self._size += values
        if self._size > MOST_VALUES:
            raise self._error(mark, f"more than {MOST_VALUES} values, with those that aliases stand for")

    def _error(self, mark: Any, problem: str) -> HeldoutError:
        return HeldoutError(f"{self.where}, line {mark.line + 1}: {problem}")
