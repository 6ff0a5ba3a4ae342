"""Errors for the user: one line with the place, the cause and the remedy."""

from collections.abc import Iterable
from difflib import get_close_matches

from heldout import shapes_no_number


@shapes_no_number
class HeldoutError(Exception):
    """An error that a user can correct. The command line prints it without a traceback and exits with status 1."""


@shapes_no_number
class NotThere(HeldoutError):
    """A folder that an experiment needs is missing; the experiment itself is correct."""


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
    known = [str(name) for name in known]
    near = get_close_matches(str(word), known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}."
    return HeldoutError(f"{where}: no {kind} {str(word)!r}; {hint}" + (f" See: {see}" if see else ""))
