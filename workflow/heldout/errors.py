"""What a user is told when something is wrong: one line with the place, the cause and the next thing to do."""

from collections.abc import Iterable
from difflib import get_close_matches

from heldout import shapes_no_number


@shapes_no_number
class HeldoutError(Exception):
    """A mistake that a user can mend. The command line prints it without a traceback and exits with 1."""


@shapes_no_number
class NotThere(HeldoutError):
    """A folder that an experiment needs is missing: nothing is wrong with the experiment itself."""


class NumericalFailure(Exception):
    """A result that is not finite. Training or scoring again would give it again, so it is recorded, not raised."""


@shapes_no_number
def unknown(where: str, kind: str, word: object, known: Iterable[str], see: str = "") -> HeldoutError:
    """Return the error for a name that does not exist.

    Args:
        where: file and key, such as `config.yaml, methods.adgan`.
        kind: what the word should have named, such as `parameter`.
        word: what the user wrote.
        known: every name that would have been right.
        see: a command that lists more.
    """
    known = [str(name) for name in known]
    near = get_close_matches(str(word), known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}."
    return HeldoutError(f"{where}: no {kind} {str(word)!r}; {hint}" + (f" See: {see}" if see else ""))
