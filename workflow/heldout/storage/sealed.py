"""JSON files that state the SHA-256 of their own content, so that a reader notices any damage."""

import json
from pathlib import Path
from typing import Any

from heldout import shapes_no_number
from heldout.errors import HeldoutError
from heldout.storage.files import write_json
from heldout.storage.hashing import sha256_of

SEAL = "record_sha256"  # the key; the hash covers all other keys


@shapes_no_number
def sealed(content: dict[str, Any]) -> dict[str, Any]:
    """Return the content with the hash of itself."""
    rest = {key: value for key, value in content.items() if key != SEAL}
    return rest | {SEAL: sha256_of(rest)}


@shapes_no_number
def write_sealed(path: Path, content: dict[str, Any]) -> None:
    write_json(path, sealed(content))


@shapes_no_number
def read_sealed(path: Path, remedy: str) -> dict[str, Any]:
    """Return what `write_sealed` wrote, without the hash.

    Args:
        path: the file.
        remedy: what to do if it is damaged, for the message.

    Raises:
        FileNotFoundError: the file is missing.
        HeldoutError: it is damaged.
    """
    content = parsed(path.read_bytes(), path, remedy)
    if SEAL not in content:
        raise HeldoutError(f"{path} is damaged, or of an earlier version: it has no {SEAL}; {remedy}")
    return without_seal(content, path, remedy)


@shapes_no_number
def parsed(text: bytes, path: Path, remedy: str) -> dict[str, Any]:
    """Return the JSON object in the bytes of a file; raises HeldoutError."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise HeldoutError(f"{path} is damaged (not JSON: {error}); {remedy}") from error
    if not isinstance(content, dict):
        raise HeldoutError(f"{path} is damaged (not a JSON object); {remedy}")
    return content


@shapes_no_number
def without_seal(content: dict[str, Any], path: Path, remedy: str) -> dict[str, Any]:
    """Return the content without its hash, after comparing them; raises HeldoutError."""
    rest = {key: value for key, value in content.items() if key != SEAL}
    try:
        is_whole = sha256_of(rest) == content[SEAL]
    except (ValueError, RecursionError):  # such as NaN, which is never written
        is_whole = False
    if not is_whole:
        raise HeldoutError(f"{path} is damaged: its content does not have the SHA-256 that it states; {remedy}")
    return rest
