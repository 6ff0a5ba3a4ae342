"""Tasks: the names of classes, and the normal classes of each protocol."""

import re
from typing import Any

from heldout.errors import HeldoutError

OWN_TEST_SHARE = 0.2  # test fraction of each class, if a dataset has no official test part
LONGEST_SLUG = 100  # characters; a figure's name has a class, a dataset and an ending in 255 bytes
WHOLE = "all"  # replaces the held-out class under the protocol `folders`
OVERALL = "overall"  # the row over all anomalous classes under `folders`


def rows(protocol: str, held_out: list[str], anomalous: list[str]) -> list[str]:
    """Return the rows of the tables, without the mean; figures have the same subjects.

    Args:
        protocol: `folders` has a row per anomalous class and one for all; the others have one per held-out class.
        held_out: the held-out classes.
        anomalous: the anomalous classes, for `folders`.
    """
    if protocol != "folders":
        return held_out
    return [*anomalous, OVERALL] if len(anomalous) > 1 else [OVERALL]


def title(protocol: str, row: str) -> str:
    """Return the title of a figure about one row of the tables."""
    if row in (WHOLE, OVERALL):
        return "all anomalies"
    return f"{'normal class' if protocol == 'one_class' else 'anomalous class'}: {row}"


def normal_classes(protocol: str, held_out: str, classes: list[str], named: list[str]) -> list[str]:
    """Return the classes that a protocol calls normal; the others are anomalous.

    Args:
        protocol: `one_class`, `leave_one_out` or `folders`.
        held_out: the held-out class, for the first two.
        classes: all classes.
        named: the classes in the dataset's option `normal`, for `folders`.
    """
    if protocol == "folders":
        return [name for name in classes if name in named]
    return [name for name in classes if (name == held_out) == (protocol == "one_class")]


def class_slugs(dataset: str, official: list[str], options: dict[str, Any]) -> list[str]:
    """Return the names of a dataset's classes in paths and tables, in the order of their numbers.

    Args:
        dataset: for messages.
        official: the registered classes.
        options: the dataset's options; without registered classes, `classes` names them.

    Raises:
        HeldoutError: two classes have the same slug, or a slug is too long or a row of the tables.
    """
    if official:
        return official
    slugs = [slug(word) for word in options["classes"]]
    if len(set(slugs)) < len(slugs) or not all(slugs):
        raise HeldoutError(
            f"{dataset}: the classes {', '.join(options['classes'])} have the same name in file names, which keep "
            "lower-case letters and digits only; rename a folder"
        )
    if len(longest := max(slugs, key=len)) > LONGEST_SLUG:
        raise HeldoutError(
            f"{dataset}: a class's name has {len(longest)} characters, and {LONGEST_SLUG} fit into the names of files; "
            "rename its folder"
        )
    if taken := {"all", "mean", "overall"} & set(slugs):
        raise HeldoutError(
            f"{dataset}: a class cannot be called {taken.pop()!r}, which is a row of the tables; rename its folder"
        )
    return slugs


def slug(word: str) -> str:
    """Return a class's name in paths: `T-shirt/top` -> `t_shirt_top`."""
    return re.sub(r"[^a-z0-9]+", "_", word.lower()).strip("_")
