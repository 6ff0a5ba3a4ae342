"""Errors for the user: one line with the place, the cause and the remedy."""

import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

from heldout import shapes_no_number

DEBUG = "HELDOUT_DEBUG"
LONGEST = 600  # characters of a message; its beginning says where, its end what to do
LONGEST_WORD = 100  # of a word in it


@shapes_no_number
class HeldoutError(Exception):
    """An error that a user can correct. The command line prints it without a traceback and exits with status 1."""

    def __init__(self, message: object) -> None:
        super().__init__(short(message))


@shapes_no_number
class NotThere(HeldoutError):
    """A file or a folder that is needed is missing; nothing else is wrong."""


class NumericalFailure(Exception):
    """A result is not finite. A repetition would give the same result, so the failure is recorded as the result."""


@shapes_no_number
def unknown(where: str, kind: str, word: object, known: Iterable[str], see: str = "") -> HeldoutError:
    """Return the error for a name that does not exist.

    Args:
        where: file and key, such as `config.yaml, methods.adgan`.
        kind: the kind of name that was expected, such as `parameter`.
        word: the name that the user wrote.
        known: all valid names.
        see: a command that lists them.
    """
    word, known = short(word, LONGEST_WORD), [str(name) for name in known]
    near = get_close_matches(word, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}."
    return HeldoutError(f"{where}: no {kind} {word!r}; {hint}" + (f" See: {see}" if see else ""))


@shapes_no_number
def short(message: object, longest: int = LONGEST) -> str:
    """Return a message as one line of printable characters, without its middle if it is too long."""
    text = str(message)
    if len(text) > longest:
        text = f"{text[: longest * 2 // 3]} ... {text[-longest // 3 :]}"
    return "".join(
        letter if letter.isprintable() else " " if letter.isspace() else repr(letter)[1:-1] for letter in text
    )


@shapes_no_number
@contextmanager
def one_line() -> Iterator[None]:
    """On any failure, print one line on stderr and exit with status 1; HELDOUT_DEBUG=1 also prints the traceback.

    Also a decorator. Ctrl-C and other exceptions that are not an `Exception` pass through.
    """
    try:
        yield
    except Exception as error:
        if os.environ.get(DEBUG):
            traceback.print_exc()
        sys.exit(f"heldout: error: {_explained(error)}")


@shapes_no_number
def _explained(error: Exception) -> str:
    if isinstance(error, HeldoutError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return short(f"{error.filename or 'a file'}: {error.strerror}")
    place = traceback.extract_tb(error.__traceback__)[-1]
    why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    hint = f"in {Path(place.filename).name}, line {place.lineno}; {DEBUG}=1 shows the traceback"
    return f"{short(why, LONGEST - len(hint))}, {hint}"
