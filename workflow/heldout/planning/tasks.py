"""How a class makes a task: the names of classes, and which of them a protocol calls normal. Imports nothing heavy."""

import re
from typing import Any

from heldout.errors import HeldoutError

OWN_TEST_SHARE = 0.2  # of each class, where a dataset has no official test part
WHOLE = "all"  # stands for the held-out class where a protocol singles none out
OVERALL = "overall"  # the row over all anomalous classes there


def rows(protocol: str, held_out: list[str], anomalous: list[str]) -> list[str]:
    """Return what has a row of its own in the tables and a figure of its own, the mean apart.

    Args:
        protocol: `folders` has a row per anomalous class and one for all, the others one per held-out class.
        held_out: the classes that are singled out.
        anomalous: the anomalous classes, for `folders`.
    """
    if protocol != "folders":
        return held_out
    return [*anomalous, OVERALL] if len(anomalous) > 1 else [OVERALL]


def title(protocol: str, row: str) -> str:
    """Return what a figure about one row of the tables, or about all that is tested, says of it."""
    if row in (WHOLE, OVERALL):
        return "all anomalies"
    return f"{'normal class' if protocol == 'one_class' else 'anomalous class'}: {row}"


def normal_classes(protocol: str, held_out: str, classes: list[str], named: list[str]) -> list[str]:
    """Return the classes that a protocol calls normal; the others are anomalous.

    Args:
        protocol: `one_class`, `leave_one_out` or `folders`.
        held_out: the class that the first two single out.
        classes: all classes.
        named: those that the dataset itself calls normal, for `folders`.
    """
    if protocol == "folders":
        return [name for name in classes if name in named]
    return [name for name in classes if (name == held_out) == (protocol == "one_class")]


def class_slugs(dataset: str, official: list[str], options: dict[str, Any]) -> list[str]:
    """Return the names of a dataset's classes in paths and tables, in the order of their numbers.

    Args:
        dataset: for messages.
        official: the registered classes.
        options: where there are none, `classes` names them.

    Raises:
        HeldoutError: two classes have one slug, or one is a word of the tables.
    """
    if official:
        return official
    slugs = [slug(word) for word in options["classes"]]
    if len(set(slugs)) < len(slugs) or not all(slugs):
        raise HeldoutError(
            f"{dataset}: the classes {', '.join(options['classes'])} have the same name in file names, which keep "
            "lower-case letters and digits only; rename a folder"
        )
    if taken := {"all", "mean", "overall"} & set(slugs):
        raise HeldoutError(
            f"{dataset}: a class cannot be called {taken.pop()!r}, which is a row of the tables; rename its folder"
        )
    return slugs


def slug(word: str) -> str:
    """Return a class's name as it stands in paths: `T-shirt/top` -> `t_shirt_top`."""
    return re.sub(r"[^a-z0-9]+", "_", word.lower()).strip("_")
