"""Hashes of JSON values, used in file names, and of files."""

import hashlib
import json
from pathlib import Path
from typing import Any

DIGITS = 12


def canonical(content: Any) -> str:
    """Return the canonical JSON text of a value: sorted keys, no spaces, numbers as Python writes them."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest(content: Any) -> str:
    """Return the 12 hex digits that identify `content` in a file name."""
    return hashlib.sha256(canonical(content).encode()).hexdigest()[:DIGITS]


def sha256_of(content: Any) -> str:
    """Return the SHA-256 of a JSON value."""
    return hashlib.sha256(canonical(content).encode()).hexdigest()


def sha256_of_bytes(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def file_sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def has_checksum(path: Path, checksum: str) -> bool:
    """Whether a file has a published checksum: an MD5, or `sha256:` and the first digits of one."""
    prefix = checksum.removeprefix("sha256:")
    return file_md5(path) == checksum if prefix == checksum else file_sha256(path).startswith(prefix)


def file_md5(path: Path) -> str:
    """Return the MD5 of a file, which many datasets publish and DVC records."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
